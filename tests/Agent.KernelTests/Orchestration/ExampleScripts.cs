using Agent.KernelTests.Daemon;
using Agent.KernelTests.Scenarios;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Orchestration;

/// <summary>The shipped examples, run on a lab's host as their callers run them.</summary>
internal static class ExampleScripts
{
    public static readonly string Directory = Path.Combine(BuiltProgram.RepositoryRoot(), "packaging", "examples");

    private static readonly string Sgctl = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");

    /// <summary>A group whose members take UDP from outside, and nothing else; no vNIC.</summary>
    public static Snapshot Groups() => States.Apply(
        [States.Isolating("sg-web", "in 1 accept udp 1/65535 198.51.100.0/24"), States.Isolating("sg-other")]).State;

    public static CommandOutcome Run(
        DaemonLab lab, string script, string input, string[] arguments, params string[] environment) =>
        SystemCommand.TryRun("ip", input,
        [
            "netns", "exec", lab.Network.Host.Name, "env", $"SGCTL={Sgctl}", $"SG_AGENT_SOCKET={lab.Daemon.SocketPath}",
            $"SG_VNIC={Path.Combine(Directory, "sg-vnic")}", $"SG_VNIC_LOCK={lab.Daemon.Directory}/lock",
            .. environment, Path.Combine(Directory, script), .. arguments,
        ]);

    public static Task<bool> ReachedFromOutsideAsync(DaemonLab lab, Guest guest, bool expected) =>
        lab.UdpArrivesAsync(lab.Network.Outsider, guest, expected);
}
