using Agent.Netlink;

namespace Agent.Nftables;

/// <summary>One ability of the running kernel.</summary>
/// <param name="Available">The kernel accepted it.</param>
/// <param name="Detail">What was tried and what came back, for a person.</param>
public sealed record NftFeature(bool Available, string Detail);

/// <summary>What this kernel can do for us, found by asking it.</summary>
/// <param name="OwnerPersist">Tables that only our socket changes, and that outlive it (6.9).</param>
/// <param name="NetdevHookByName">A netdev chain for a device that does not exist yet (6.16).</param>
/// <param name="BridgeFilter">A base chain in the bridge family.</param>
/// <param name="BridgeConntrack">`ct` in the bridge family (nf_conntrack_bridge).</param>
/// <param name="CtTimeout">Conntrack timeout objects.</param>
/// <param name="ConnLimit">`ct count`.</param>
/// <param name="PacketLog">Packets are sent to an nflog group, in every family of ours.</param>
/// <param name="KernelRelease">As uname prints it.</param>
public sealed record NftFeatures(
    NftFeature OwnerPersist,
    NftFeature NetdevHookByName,
    NftFeature BridgeFilter,
    NftFeature BridgeConntrack,
    NftFeature CtTimeout,
    NftFeature ConnLimit,
    NftFeature PacketLog,
    string KernelRelease)
{
    /// <summary>Families in which packets are sent to an nflog group.</summary>
    public IReadOnlyList<NftFamily> LogFamilies { get; init; } = [];

    private const string Scratch = "sg_agent_probe";

    /// <summary>
    /// Which of <paramref name="candidates"/>, objects of a new inet table, the kernel takes. One dry run.
    /// </summary>
    /// <exception cref="NetlinkException">No socket, or no permission.</exception>
    public static IReadOnlyList<NftObject> Accepted(IReadOnlyList<NftObject> candidates)
    {
        ArgumentNullException.ThrowIfNull(candidates);
        using var nft = new NftConnection();
        NftOp[] ops =
        [
            new NftOp.AddTable(NftFamily.Inet, Scratch),
            .. candidates.Select(candidate => new NftOp.AddObject(NftFamily.Inet, Scratch, candidate)),
        ];
        HashSet<int> refused = [.. nft.Check(ops).Select(refusal => refusal.OpIndex)];
        return refused.Any(index => index < 1) ? [] : [.. candidates.Where((_, i) => !refused.Contains(i + 1))];
    }

    /// <summary>Asks by dry runs that create a scratch table: nothing stays, no generation passes.</summary>
    /// <exception cref="NetlinkException">No socket, or no permission.</exception>
    public static NftFeatures Probe()
    {
        using var plain = new NftConnection();
        using var owning = new NftConnection(TableOwnership.OwnedAndPersistent);
        NftFamily[] logged = [.. ((NftFamily[])[NftFamily.Inet, NftFamily.Netdev, NftFamily.Bridge]).Where(family =>
            AskExpr(plain, "log", family, new NftExpr.Log(1, null, 0, 0)).Available)];
        return new NftFeatures(
            Ask(owning, "table with owner and persist", new NftOp.AddTable(NftFamily.Inet, Scratch)),
            Ask(
                plain,
                "ingress chain of a device that does not exist",
                new NftOp.AddTable(NftFamily.Netdev, Scratch),
                new NftOp.AddChain(
                    NftFamily.Netdev, Scratch, "probe", new BaseHook(NftHook.Ingress, 0, "sgprobe-none"))),
            Ask(
                plain,
                "forward chain in the bridge family",
                new NftOp.AddTable(NftFamily.Bridge, Scratch),
                new NftOp.AddChain(NftFamily.Bridge, Scratch, "probe", new BaseHook(NftHook.Forward, 0))),
            AskExpr(
                plain,
                "ct state in the bridge family",
                NftFamily.Bridge,
                new NftExpr.Ct(NftCtKey.State, NftReg.R0)),
            Ask(
                plain,
                "ct timeout object",
                new NftOp.AddTable(NftFamily.Inet, Scratch),
                new NftOp.AddObject(
                    NftFamily.Inet, Scratch, new NftObject.CtTimeout("probe", 2, 17, [new CtTimeoutValue(1, 30)]))),
            AskExpr(plain, "ct count", NftFamily.Inet, new NftExpr.ConnLimit(1, Over: true)),
            new NftFeature(logged.Length == 3,
                $"log to an nflog group: accepted in {(logged.Length == 0 ? "no family" : string.Join(", ", logged))}"),
            KernelReleaseNow())
        {
            LogFamilies = logged,
        };
    }

    /// <summary>The release of the running kernel, for messages that name a version.</summary>
    public static string KernelReleaseNow() => File.ReadAllText("/proc/sys/kernel/osrelease").Trim();

    private static NftFeature AskExpr(NftConnection nft, string what, NftFamily family, NftExpr expr) => Ask(
        nft,
        what,
        new NftOp.AddTable(family, Scratch),
        new NftOp.AddChain(family, Scratch, "probe", Hook: null),
        new NftOp.AddRule(family, Scratch, "probe", new NftRule([expr])));

    private static NftFeature Ask(NftConnection nft, string what, params NftOp[] ops)
    {
        IReadOnlyList<OpRefusal> refusals = nft.Check(ops);
        foreach (OpRefusal refusal in refusals)
        {
            if (refusal.Error.Errno is 1)
            {
                throw new NetlinkException($"probe: {what}", refusal.Error);
            }
        }

        return refusals.Count == 0
            ? new NftFeature(true, $"{what}: accepted")
            : new NftFeature(false, $"{what}: {refusals[0].Error}");
    }
}
