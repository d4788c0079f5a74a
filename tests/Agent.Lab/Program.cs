using System.Globalization;
using System.Runtime.InteropServices;
using Agent.Lab;
using Agent.Lab.Picture;
using Agent.TestNet;
using Grpc.Core;

const string Usage = """
    sg-lab run  [--daemon PATH] [--sgctl PATH]   build the lab, drive traffic, print verdicts, remove everything
    sg-lab up   [--daemon PATH] [--sgctl PATH]   build the lab and leave it open
    sg-lab down                                  remove the open lab
    sg-lab picture FILE [--seconds N]            the host's dashboard, with what a real Prometheus sees of the lab

    The programs default to SG_AGENTD and SGCTL of the environment, then to this tree's build.
    """;

string? daemonPath = null;
string? sgctlPath = null;
int pictureSeconds = 90;
for (int i = args is ["picture", ..] ? 2 : 1; i + 1 < args.Length; i += 2)
{
    _ = args[i] switch
    {
        "--daemon" => daemonPath = Path.GetFullPath(args[i + 1]),
        "--sgctl" => sgctlPath = Path.GetFullPath(args[i + 1]),
        "--seconds" => $"{pictureSeconds = int.Parse(args[i + 1], CultureInfo.InvariantCulture)}",
        _ => null,
    };
}

using CancellationTokenSource interrupted = new();
using PosixSignalRegistration onInterrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Interrupt);
using PosixSignalRegistration onTerminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Interrupt);
try
{
    if (args is ["run" or "up" or "down" or "picture", ..] && !Environment.IsPrivilegedProcess)
    {
        Console.Error.WriteLine("sg-lab: only root may make network namespaces; try sudo");
        return 1;
    }

    return args switch
    {
        ["run", ..] => await RunAsync(),
        ["up", ..] => await UpAsync(),
        ["down"] => Down(),
        ["picture", var path, ..] => await PictureAsync(path),
        _ => Explain(),
    };
}
// Whatever it was: Ctrl-C reaches our child processes too, and what they were asked for fails.
catch (Exception) when (interrupted.IsCancellationRequested)
{
    Console.Error.WriteLine("interrupted; everything was removed");
    return 130;
}
catch (Exception failure) when (failure is InvalidOperationException or IOException or RpcException or TimeoutException
    or HttpRequestException)
{
    Console.Error.WriteLine(LabTable.Red($"sg-lab: {failure.Message}"));
    return 1;
}

// The default action would end us in the middle of things; the work notices, and cleans up.
void Interrupt(PosixSignalContext context)
{
    context.Cancel = true;
    interrupted.Cancel();
}

async Task<int> RunAsync()
{
    string sgctl = sgctlPath ?? BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");
    await using LabSession session = await LabSession.CreateAsync(open: false, daemonPath);
    interrupted.Token.ThrowIfCancellationRequested();
    IReadOnlyList<string> before = await session.Daemon.ReadMetricsAsync();
    session.Apply(sgctl);
    bool good = await new LabRun(session.Network, session.Daemon).ShowAsync(before, interrupted.Token)
        .WaitAsync(interrupted.Token);
    return good ? 0 : 1;
}

async Task<int> UpAsync()
{
    if (LabSession.IsOpen)
    {
        Console.Error.WriteLine("sg-lab: the lab is open already; 'make lab-down' removes it");
        return 1;
    }

    string sgctl = sgctlPath ?? BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");
    try
    {
        await using LabSession session = await LabSession.CreateAsync(open: true, daemonPath);
        session.Apply(sgctl);
        interrupted.Token.ThrowIfCancellationRequested();
        Describe(session, sgctl);
        session.Leave();
        return 0;
    }
    catch
    {
        LabSession.Remove();
        throw;
    }
}

async Task<int> PictureAsync(string path)
{
    string board = Path.Combine(BuiltProgram.RepositoryRoot(), "packaging", "grafana", "sg-agent-host.json");
    string sgctl = sgctlPath ?? BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");

    // Nobody is kept off the tables, so that there is drift to be seen.
    await using LabSession session = await LabSession.CreateAsync(open: false, daemonPath, isProtected: false);
    session.Apply(sgctl);
    string picture = await new PictureRun(session.Network, session.Daemon)
        .DrawAsync(board, TimeSpan.FromSeconds(pictureSeconds), interrupted.Token);
    await File.WriteAllTextAsync(path, picture, interrupted.Token);
    Console.WriteLine($"\n{path}: {picture.Length} bytes");
    return 0;
}

static int Down()
{
    Console.WriteLine(LabSession.Remove() ? "the lab is gone" : "there was no lab");
    return 0;
}

static int Explain()
{
    Console.Error.WriteLine(Usage);
    return 2;
}

static void Describe(LabSession session, string sgctl)
{
    Console.WriteLine($"\n{LabTable.Bold("enter")}");
    List<(string[], bool)> rows = [];
    foreach (Guest guest in session.Network.Guests.Values)
    {
        string addresses = string.Join(' ', guest.Addresses);
        rows.Add(([guest.Spec.Name, addresses, $"ip netns exec {guest.Place.Name} bash"], true));
    }

    NetworkEndpoint outside = session.Network.Outsider;
    rows.Add((["outside", string.Join(' ', outside.Addresses), $"ip netns exec {outside.Place.Name} bash"], true));
    rows.Add((["host", "", $"ip netns exec {session.Network.Host.Name} bash"], true));
    LabTable.Print(["name", "addresses", "command"], rows);
    Console.WriteLine($"""

        {LabTable.Bold("try")}
          ip netns exec sglab-web1 ping -c1 10.0.1.12      members of sg-web reach each other
          ip netns exec sglab-db1 ping -c1 -W1 10.0.2.22   members of sg-db do not
          ip netns exec sglab-host nft list ruleset        what enforces it

        {LabTable.Bold("sgctl")}  (its socket is a file: any namespace will do)
          export SG_AGENT_SOCKET={session.Daemon.SocketPath}
          {sgctl} status
          {sgctl} vnics
          {sgctl} explain eni-db1 ingress tcp 10.0.1.11 10.0.2.21:5432
          {sgctl} apply {session.PolicyPath}

        policy file  {session.PolicyPath}
        daemon log   {session.Daemon.LogPath}
        remove       make lab-down
        """);
}
