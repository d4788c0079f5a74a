using System.IO.Compression;
using Agent.KernelTests.Daemon;
using Agent.Netlink;
using Agent.Nftables;
using Agent.Nftables.Wire;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Upgrade;

/// <summary>
/// What an earlier version left on a host: its state directory, and the ruleset as the messages that make it. The
/// folder <c>versions</c> has some, each named after the commit that was built; <c>make keep-version</c> writes one.
/// </summary>
/// <param name="Name">Date and commit.</param>
internal sealed record EarlierVersion(string Name)
{
    /// <summary>The lease of the controller that had sent what is there.</summary>
    public const ulong Term = 7;

    /// <summary>A snapshot, and two deltas.</summary>
    public const ulong Revision = 3;

    /// <summary>Of the controller that sends it.</summary>
    public static SyncRequest Hello => new() { Hello = new SyncHello { Controller = "earlier", Term = Term } };

    private const string RulesetFile = "ruleset.batch.gz";

    private static readonly (NftFamily, string)[] Tables =
        [(NftFamily.Inet, "sg_agent"), (NftFamily.Netdev, "sg_agent"), (NftFamily.Bridge, "sg_agent")];

    private static string Folder => Path.Combine(
        BuiltProgram.RepositoryRoot(), "tests", "Agent.KernelTests", "Upgrade", "versions");

    public bool HasLease => File.Exists(Path.Combine(Folder, Name, "lease"));

    public static IEnumerable<string> Names =>
        Directory.EnumerateDirectories(Folder).Select(path => Path.GetFileName(path)!).Order(StringComparer.Ordinal);

    /// <summary>Puts it on a host that has neither.</summary>
    /// <param name="host">Gets the ruleset.</param>
    /// <param name="directory">The daemon's; gets the state.</param>
    public void Restore(NetNamespace host, string directory)
    {
        string state = Directory.CreateDirectory(Path.Combine(directory, "state")).FullName;
        foreach (string path in Directory.EnumerateFiles(Path.Combine(Folder, Name), "*")
            .Where(path => Path.GetFileName(path) != RulesetFile))
        {
            File.Copy(path, Path.Combine(state, Path.GetFileName(path)));
        }

        using var packed = new GZipStream(
            File.OpenRead(Path.Combine(Folder, Name, RulesetFile)), CompressionMode.Decompress);
        using var batch = new MemoryStream();
        packed.CopyTo(batch);
        Send(host, batch.ToArray());
    }

    /// <summary>Keeps what a stopped daemon has left, and makes sure that the messages say all of it.</summary>
    public void Keep(DaemonLab lab)
    {
        DirectoryInfo to = Directory.CreateDirectory(Path.Combine(Folder, Name));
        foreach (string path in Directory.EnumerateFiles(lab.Daemon.StateDirectory))
        {
            File.Copy(path, Path.Combine(to.FullName, Path.GetFileName(path)), overwrite: true);
        }

        Ruleset left = Read(lab.Network.Host);
        var plan = Plan.Between(Ruleset.Empty, left);
        var writer = new NlWriter(64 * 1024);
        BatchWriter.Write(
            writer, [.. plan.Prepare, .. plan.Switch], firstSequence: 1, generation: null, tableFlags: 0,
            dryRun: false);
        byte[] batch = writer.Written.ToArray();
        lab.Network.Host.Exec("nft", "flush", "ruleset");
        Send(lab.Network.Host, batch);
        Assert.Equal(NftText.Print(left), NftText.Print(Read(lab.Network.Host)));
        Assert.Equal(left, Read(lab.Network.Host));
        using var packed = new GZipStream(
            File.Create(Path.Combine(to.FullName, RulesetFile)), CompressionLevel.SmallestSize);
        packed.Write(batch);
    }

    /// <summary>The state that is kept: <see cref="DaemonLab.OneWayIn"/>, and members that came and went.</summary>
    public static async Task SendAsync(DaemonLab lab)
    {
        Snapshot first = DaemonLab.OneWayIn();
        first.Revision = 1;
        await using SyncClient sync = SyncClient.Open(lab);
        await sync.AskAsync(Hello);
        SyncResponse whole = await sync.SnapshotAsync(first);
        Assert.True(whole.Accepted is not null, $"refused: {whole}");
        await sync.AcceptedAsync(Members(1, change => change.Add.Add("10.9.0.1")));
        await sync.AcceptedAsync(Members(2, change => change.Add.Add("2001:db8:9::/64")));
    }

    public static Delta Members(ulong on, Action<MemberChange> alter)
    {
        var change = new MemberChange { GroupId = "sg-a" };
        alter(change);
        return new Delta { BaseRevision = on, Revision = on + 1, Members = { change } };
    }

    private static void Send(NetNamespace host, byte[] batch)
    {
        using NetlinkSocket socket = host.Run(() => new NetlinkSocket(NetlinkProtocol.Netfilter));
        Assert.Null(socket.Send(batch));
        using NftConnection kernel = host.Run(() => new NftConnection());
        Assert.NotEmpty(kernel.ReadRuleset(Tables).Ruleset.Tables); // all of it, or nothing
    }

    private static Ruleset Read(NetNamespace host)
    {
        using NftConnection kernel = host.Run(() => new NftConnection());
        return kernel.ReadRuleset(Tables).Ruleset;
    }
}
