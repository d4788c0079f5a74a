using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Orchestration;

/// <summary>
/// The example hook as libvirt calls it (libvirt.org/hooks.html): the domain's XML on standard input, real taps.
/// libvirt itself is not here; that it refuses a start whose hook fails is its own promise.
/// </summary>
public sealed class LibvirtTests
{
    private const string Tap = "tap-web1";

    private static readonly string Domain =
        File.ReadAllText(Path.Combine(ExampleScripts.Directory, "libvirt", "domain.xml"));

    [Fact]
    public async Task A_guest_starts_when_its_tap_is_enforced_and_leaves_the_policy_when_it_is_gone()
    {
        await using DaemonLab lab = await LabAsync();
        foreach (string early in (string[])["prepare", "migrate", "restore"])
        {
            Assert.Equal((0, "", ""), Call(lab, early, "begin", Domain));
        }

        Assert.Empty((await lab.StateAsync()).Vnics);
        Assert.Equal(VnicState.Unmanaged, (await lab.VnicAsync(Tap)).State);
        Assert.Equal((0, "", ""), Call(lab, "start", "begin", Domain));
        Vnic vnic = (await lab.StateAsync()).Vnics.Single();
        Assert.Equal(
            ("eni-web1", Tap, "52:54:00:0a:01:0b", "vpc-1"), (vnic.Id, vnic.InterfaceName, vnic.Mac, vnic.VpcId));
        Assert.Equal(["10.0.1.11", "2001:db8:1:1::11"], vnic.Addresses);
        Assert.Equal(VnicState.Enforced, (await lab.VnicAsync(Tap)).State);
        Assert.Equal((0, "", ""), Call(lab, "started", "begin", Domain));
        Assert.Equal((0, "", ""), Call(lab, "reconnect", "begin", Domain));

        lab.Network.Host.IpBatch([$"link delete {Tap}"]);
        Assert.Equal((0, "", ""), Call(lab, "stopped", "end", Domain));
        Assert.Equal((0, "", ""), Call(lab, "release", "end", Domain));
        Assert.Empty((await lab.StateAsync()).Vnics);
        Assert.Equal((0, "", ""), Call(lab, "release", "end", Domain));
    }

    [Fact]
    public async Task A_tap_of_the_controller_needs_no_metadata_and_one_of_nobody_starts_no_guest()
    {
        await using DaemonLab lab = await LabAsync();
        string plain = Domain[..Domain.IndexOf("<metadata>", StringComparison.Ordinal)]
            + Domain[(Domain.IndexOf("</metadata>", StringComparison.Ordinal) + "</metadata>".Length)..];
        Refused(lab, plain, $"{Tap} (52:54:00:0a:01:0b) is in no policy");
        Snapshot state = await lab.StateAsync();
        state.Vnics.Add(new Vnic
        {
            Id = "eni-c",
            InterfaceName = Tap,
            Mac = "52:54:00:0a:01:0b",
            VpcId = "vpc-1",
            Addresses = { "10.0.1.11" },
            GroupIds = { "sg-web" },
        });
        await lab.ApplyAsync(state);
        Assert.Equal((0, "", ""), Call(lab, "start", "begin", plain));
        Assert.Equal((0, "", ""), Call(lab, "release", "end", plain));
        Assert.Single((await lab.StateAsync()).Vnics);
    }

    [Fact]
    public async Task A_guest_that_cannot_be_enforced_does_not_start()
    {
        await using DaemonLab lab = await LabAsync();
        Refused(lab, Domain.Replace("<sg:group>sg-web", "<sg:group>sg-none", StringComparison.Ordinal),
            "no group 'sg-none'");
        Refused(lab, Domain.Replace("type='ethernet'", "type='user'", StringComparison.Ordinal),
            "an interface of type user has no device");
        Refused(lab, Domain.Replace("<target dev='tap-web1'/>", "", StringComparison.Ordinal), "has no device");
        Refused(lab, Domain.Replace("id='eni-web1'", "", StringComparison.Ordinal), "has no id");
        Refused(
            lab, Domain.Replace("0b' vpc", "0c' vpc", StringComparison.Ordinal),
            "the guest has no interface with MAC 52:54:00:0a:01:0c");
        Refused(lab, "no XML", "syntax error");
        Assert.Empty((await lab.StateAsync()).Vnics);
        Refused(lab, Domain.Replace("dev='tap-web1'", "dev='tap-web2'", StringComparison.Ordinal),
            "not enforced in 1 s: eni-web1 is VNIC_STATE_ABSENT");
        await lab.Daemon.KillAsync();
        Refused(lab, Domain, "nobody listens there any more");
    }

    private static async Task<DaemonLab> LabAsync()
    {
        DaemonLab lab = await DaemonLab.StartAsync();
        lab.Network.Host.Exec("ip", "tuntap", "add", "dev", Tap, "mode", "tap");
        lab.Network.Host.IpBatch([$"link set {Tap} up"]);
        await lab.ApplyAsync(ExampleScripts.Groups());
        return lab;
    }

    private static void Refused(DaemonLab lab, string domain, string why)
    {
        (int code, string output, string error) = Call(lab, "start", "begin", domain);
        Assert.Equal((1, ""), (code, output));
        Assert.StartsWith("sg-agent: ", error, StringComparison.Ordinal);
        Assert.Contains(why, error, StringComparison.Ordinal);
    }

    private static (int, string, string) Call(DaemonLab lab, string operation, string part, string domain)
    {
        CommandOutcome run = ExampleScripts.Run(
            lab, "libvirt/qemu", domain, ["web1", operation, part, "-"], "SG_VNIC_TIMEOUT=1");
        return (run.ExitCode, run.Output.Trim(), run.Error.Trim());
    }
}
