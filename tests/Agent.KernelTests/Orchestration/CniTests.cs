using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Orchestration;

/// <summary>
/// The example CNI plugin as a runtime calls it (CNI spec 1.1): configuration on standard input, the rest in the
/// environment, veths and namespaces that are there.
/// </summary>
public sealed class CniTests
{
    [Fact]
    public async Task A_container_is_enforced_when_ADD_ends_and_closed_again_after_DEL()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(ExampleScripts.Groups());
        Assert.False(await ExampleScripts.ReachedFromOutsideAsync(lab, lab.E1, expected: false));

        JsonObject config = Config(lab.E1);
        CommandOutcome added = Call(lab, "ADD", lab.E1, config);
        Assert.True(added.ExitCode == 0, added.Output + added.Error);
        JsonNode result = JsonNode.Parse(added.Output)!;
        Assert.Equal("1.0.0", (string?)result["cniVersion"]);
        JsonNode before = config["prevResult"]!.DeepClone();
        before["cniVersion"] = "1.0.0";
        Assert.True(JsonNode.DeepEquals(before, result), added.Output);
        VnicStatus status = await lab.VnicAsync("tap-e1");
        Assert.Equal(VnicState.Enforced, status.State);
        Vnic vnic = (await lab.StateAsync()).Vnics.Single();
        Assert.Equal(["10.0.0.8", "2001:db8:1::8"], vnic.Addresses);
        Assert.Equal("02:00:00:00:00:01", vnic.Mac);
        Assert.True(await ExampleScripts.ReachedFromOutsideAsync(lab, lab.E1, expected: true));
        Assert.Equal((0, ""), Outcome(Call(lab, "CHECK", lab.E1, config)));
        Assert.Equal(0, Call(lab, "ADD", lab.E1, config).ExitCode); // once more is the same
        Assert.Single((await lab.StateAsync()).Vnics);

        Assert.Equal((0, ""), Outcome(Call(lab, "DEL", lab.E1, config)));
        Assert.Empty((await lab.StateAsync()).Vnics);
        Assert.False(await ExampleScripts.ReachedFromOutsideAsync(lab, lab.E1, expected: false));
        Assert.Equal((0, ""), Outcome(Call(lab, "DEL", lab.E1, config)));
        Assert.Equal(101, Code(Call(lab, "CHECK", lab.E1, config)));
    }

    [Fact]
    public async Task CHECK_finds_what_somebody_else_changed()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(ExampleScripts.Groups());
        JsonObject config = Config(lab.E1);
        Assert.Equal(0, Call(lab, "ADD", lab.E1, config).ExitCode);
        Snapshot state = await lab.StateAsync();
        state.Vnics[0].GroupIds[0] = "sg-other";
        await lab.ApplyAsync(state);
        Assert.Equal(101, Code(Call(lab, "CHECK", lab.E1, config)));
        Assert.Equal(0, Call(lab, "ADD", lab.E1, config).ExitCode);
        Assert.Equal(0, Call(lab, "CHECK", lab.E1, config).ExitCode);
    }

    [Fact]
    public async Task Containers_that_come_together_all_come()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(ExampleScripts.Groups());
        Guest[] guests = [lab.E1, lab.E2, lab.E3];
        CommandOutcome[] added = await Task.WhenAll(guests.Select(guest =>
            Task.Run(() => Call(lab, "ADD", guest, Config(guest)))));
        Assert.All(added, one => Assert.True(one.ExitCode == 0, one.Output + one.Error));
        Assert.Equal(3, (await lab.StateAsync()).Vnics.Count);

        // GC keeps what the runtime knows, of this network; what is of others is not its business.
        Snapshot state = await lab.StateAsync();
        state.Vnics.Single(vnic => vnic.InterfaceName == "tap-e3").Id = "eni-other";
        await lab.ApplyAsync(state);
        JsonObject config = Config(lab.E1);
        config["cniVersion"] = "1.1.0";
        config["cni.dev/valid-attachments"] = new JsonArray(
            new JsonObject { ["containerID"] = ContainerOf(lab.E1), ["ifname"] = "eth0" });
        Assert.Equal((0, ""), Outcome(Call(lab, "GC", lab.E1, config)));
        Assert.Equal(
            ["tap-e1", "tap-e3"],
            (await lab.StateAsync()).Vnics.Select(vnic => vnic.InterfaceName).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Without_the_agent_there_is_no_container()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(ExampleScripts.Groups());
        JsonObject config = Config(lab.E1);
        config["cniVersion"] = "1.1.0";
        Assert.Equal((0, ""), Outcome(Call(lab, "STATUS", lab.E1, config)));
        await lab.Daemon.KillAsync();
        CommandOutcome added = Call(lab, "ADD", lab.E1, config);
        Assert.Equal((1, 11), (added.ExitCode, Code(added)));
        Assert.Contains(
            "nobody listens there any more", (string?)JsonNode.Parse(added.Output)!["details"],
            StringComparison.Ordinal);
        Assert.Equal(11, Code(Call(lab, "DEL", lab.E1, config)));
        Assert.Equal(50, Code(Call(lab, "STATUS", lab.E1, config)));
    }

    [Fact]
    public async Task What_is_wrong_has_the_code_that_the_specification_gives_it()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(ExampleScripts.Groups());
        CommandOutcome version = Call(lab, "VERSION", lab.E1, new JsonObject { ["cniVersion"] = "0.4.0" });
        Assert.Equal(
            """{"cniVersion":"0.4.0","supportedVersions":["0.4.0","1.0.0","1.1.0"]}""", version.Output.Trim());

        Assert.Equal(1, Code(Call(lab, "ADD", lab.E1, With("cniVersion", "0.2.0"))));
        Assert.Equal(6, Code(ExampleScripts.Run(lab, "cni/sg-agent", "{", [], "CNI_COMMAND=ADD")));
        Assert.Equal(6, Code(ExampleScripts.Run(lab, "cni/sg-agent", "[]", [], "CNI_COMMAND=ADD")));
        Assert.Equal(4, Code(ExampleScripts.Run(
            lab, "cni/sg-agent", Config(lab.E1).ToJsonString(), [], "CNI_COMMAND=ADD")));
        Assert.Equal(4, Code(Call(lab, "ADD", lab.E1, Config(lab.E1), "CNI_CONTAINERID=../x")));
        Assert.Equal(4, Code(Call(lab, "ADD", lab.E1, Config(lab.E1), "CNI_IFNAME=a/b")));
        Assert.Equal(4, Code(Call(lab, "FROB", lab.E1, Config(lab.E1))));
        Assert.Equal(7, Code(Call(lab, "ADD", lab.E1, With("prevResult", null))));
        Assert.Equal(7, Code(Call(lab, "ADD", lab.E1, With("groups", new JsonArray()))));
        Assert.Equal(7, Code(Call(lab, "ADD", lab.E1, With("name", null))));
        Assert.Equal(3, Code(Call(lab, "ADD", lab.E1, Config(lab.E1), "CNI_NETNS=/run/netns/nowhere")));
        Assert.Equal(100, Code(Call(lab, "ADD", lab.E1, Config(lab.E1), "CNI_IFNAME=lo")));
        Assert.Equal(100, Code(Call(lab, "ADD", lab.E1, Config(lab.E2)))); // another container's result

        CommandOutcome refused = Call(lab, "ADD", lab.E1, With("groups", new JsonArray("sg-none")));
        Assert.Equal((1, 100), (refused.ExitCode, Code(refused)));
        Assert.Contains("no group 'sg-none'", refused.Output, StringComparison.Ordinal);
        Assert.Empty((await lab.StateAsync()).Vnics);

        JsonObject With(string field, JsonNode? value)
        {
            JsonObject config = Config(lab.E1);
            config[field] = value;
            return config;
        }
    }

    /// <summary>As a runtime sends it after a ptp plugin.</summary>
    private static JsonObject Config(Guest guest) => new()
    {
        ["cniVersion"] = "1.0.0",
        ["name"] = "tenants",
        ["type"] = "sg-agent",
        ["vpc"] = "vpc-1",
        ["groups"] = new JsonArray("sg-web"),
        ["prevResult"] = new JsonObject
        {
            ["cniVersion"] = "1.0.0",
            ["interfaces"] = new JsonArray(
                new JsonObject { ["name"] = guest.HostDevice, ["mac"] = "02:00:00:00:01:01" },
                new JsonObject { ["name"] = "eth0", ["mac"] = guest.Spec.Mac, ["sandbox"] = NamespaceOf(guest) }),
            ["ips"] = new JsonArray(
                new JsonObject { ["address"] = $"{guest.V4}/24", ["gateway"] = "10.0.0.1", ["interface"] = 1 },
                new JsonObject { ["address"] = $"{guest.V6}/64", ["interface"] = 1 }),
            ["routes"] = new JsonArray(new JsonObject { ["dst"] = "0.0.0.0/0" }),
            ["dns"] = new JsonObject(),
        },
    };

    private static CommandOutcome Call(
        DaemonLab lab, string command, Guest guest, JsonObject config, params string[] environment) =>
        ExampleScripts.Run(lab, "cni/sg-agent", config.ToJsonString(), [],
        [
            $"CNI_COMMAND={command}", $"CNI_CONTAINERID={ContainerOf(guest)}", $"CNI_NETNS={NamespaceOf(guest)}",
            "CNI_IFNAME=eth0", "CNI_PATH=/opt/cni/bin", .. environment,
        ]);

    /// <summary>As long as containerd's.</summary>
    private static string ContainerOf(Guest guest) => guest.Spec.Name.PadRight(64, '0');

    private static string NamespaceOf(Guest guest) => $"/run/netns/{guest.Place.Name}";

    private static (int, string) Outcome(CommandOutcome run) => (run.ExitCode, run.Output.Trim() + run.Error);

    private static int Code(CommandOutcome run)
    {
        Assert.NotEqual(0, run.ExitCode);
        JsonNode error = JsonNode.Parse(run.Output)!;
        Assert.NotNull(error["cniVersion"]);
        Assert.NotEmpty((string)error["msg"]!);
        return (int)error["code"]!;
    }
}
