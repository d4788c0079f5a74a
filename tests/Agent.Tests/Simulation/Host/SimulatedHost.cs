using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Evaluator;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.State;

namespace Agent.Tests.Simulation.Host;

/// <summary>A session through a vNIC, with the mark that the kernel keeps for it.</summary>
internal sealed record SimulatedSession(string Interface, Direction Direction, PacketTuple Tuple, uint Mark);

/// <summary>What outlives a process: the kernel, the disk, the devices, the sessions.</summary>
internal sealed class SimulatedHost
{
    private const int MostSessions = 10;
    private const string Foreign = "foreign";
    private const string Bridge = "br0";
    private readonly Fate fate;
    private static readonly NftFamily[] Families = [NftFamily.Inet, NftFamily.Netdev, NftFamily.Bridge];
    private int nextIndex = 4;

    public SimulatedHost(Fate fate)
    {
        this.fate = fate;
        HooksByName = fate.Pick(2) == 0;
        IsOwned = fate.Pick(4) == 0;
        Layer = fate.Pick(3) switch
        {
            0 => BridgeLayer.Open,
            1 => BridgeLayer.Closed,
            _ => BridgeLayer.None,
        };
        if (HasBridge)
        {
            Devices.Add(Bridge, 2);
            Devices.Add(Packets.BridgeUplink, 3);
            Ports.Add(Packets.BridgeUplink);
        }
    }

    /// <summary>What the kernel can do in the bridge family.</summary>
    public BridgeLayer Layer { get; }

    // Where ports cannot be judged they are said not to follow, and there is no peace.
    private bool HasBridge => Layer == BridgeLayer.Open;

    public SimulatedNftables Nftables { get; private set; } = new();

    public TornDisk Disk { get; private set; } = new();

    public SortedDictionary<string, int> Devices { get; } = new(StringComparer.Ordinal) { ["uplink0"] = 1 };

    /// <summary>Devices that are ports of the bridge: what they send and get is forwarded there.</summary>
    public SortedSet<string> Ports { get; } = new(StringComparer.Ordinal);

    public List<SimulatedSession> Sessions { get; private set; } = [];

    /// <summary>Chains may name devices that are not there.</summary>
    public bool HooksByName { get; }

    /// <summary>Nobody else writes to our tables while a process owns them.</summary>
    public bool IsOwned { get; }

    /// <summary>Somebody changed our tables, and it is not undone yet.</summary>
    public bool IsDamaged { get; private set; }

    /// <summary>Our tables have judged packets since the host started: from here on nothing may be open.</summary>
    public bool IsProgrammed { get; set; }

    public static string Table => CompilerSettings.Default.Table;

    /// <summary>Our tables that enforce.</summary>
    public Ruleset Ours => new(Nftables.Ruleset.Tables.Where(table => table.Name == Table).ToValueArray());

    public HostLinks Links => new(Devices.ToImmutableSortedDictionary(StringComparer.Ordinal))
    {
        Bridges = HasBridge ? [Bridge] : [],
        BridgePorts = [.. Ports],
    };

    /// <summary>The power goes: what was not synced may be lost, and the kernel begins anew.</summary>
    public void CutPower()
    {
        Disk = Disk.AfterCut(fate.Random);
        Nftables = new SimulatedNftables();
        Sessions = [];
        (IsDamaged, IsProgrammed) = (false, false);
    }

    /// <summary>Whether the kernel does what was committed, and nothing of others is left.</summary>
    public bool Holds(Ruleset enforced) => Plan.Between(Ours, enforced) is { Prepare.Count: 0, Switch.Count: 0 }
        && !Ours.Tables.Any(table => table.Chains.Any(chain => chain.Name == Foreign));

    public void Repaired() => IsDamaged = false;

    /// <summary>A device comes, goes, is made anew, or gets another name.</summary>
    public string ChangeDevices()
    {
        string name = $"tap{fate.Pick(4) + 1}";
        if (!Devices.TryGetValue(name, out int index))
        {
            Devices.Add(name, nextIndex++);
            return $"{name} comes";
        }

        if (HasBridge && fate.Pick(2) == 0)
        {
            return Ports.Remove(name) ? $"{name} leaves the bridge"
                : Ports.Add(name) ? $"{name} is a port of the bridge" : "";
        }

        string other = $"tap{fate.Pick(4) + 1}";
        Devices.Remove(name);
        bool isPort = Ports.Remove(name);
        switch (fate.Pick(3))
        {
            case 0 when !Devices.ContainsKey(other) && other != name:
                Move(name, other);
                Devices.Add(other, index);
                _ = isPort && Ports.Add(other);
                return $"{name} is now {other}";
            case 1:
                Move(name, newName: null);
                Devices.Add(name, nextIndex++);
                return $"{name} is another one now";
            default:
                Move(name, newName: null);
                return $"{name} goes";
        }
    }

    /// <summary>Somebody writes to the kernel: to a table of theirs, or to ours.</summary>
    /// <param name="toOurs">They may.</param>
    public string Interfere(bool toOurs)
    {
        NftTable[] ours = [.. Ours.Tables];
        if (!toOurs || ours.Length == 0 || fate.Pick(3) == 0)
        {
            Nftables.CommitElsewhere();
            return "somebody commits to a table of their own";
        }

        NftTable table = fate.Pick(ours);
        (string what, NftOp[] ops) = Harm(ours, table);
        if (ops.Length > 0 && Nftables.Commit(ops, null) is not CommitOutcome.Committed)
        {
            return $"somebody fails to: {what}";
        }

        if (ops.Length == 0)
        {
            Nftables.SetDormant(table.Family, table.Name);
        }

        IsDamaged = true;
        return $"somebody: {what}";
    }

    /// <summary>A guest, or somebody outside, opens a session if the kernel lets it.</summary>
    public void Open(SimulatedSession session)
    {
        Trace trace = Packets.Evaluate(Nftables.Ruleset, session, At(session), CtState.New, isReply: false);
        if (trace.Verdict == HookVerdict.Accept)
        {
            Sessions.Add(session with { Mark = trace.CtMark });
            Sessions.RemoveRange(0, Math.Max(0, Sessions.Count - MostSessions));
        }
    }

    /// <summary>Where the packets of a session pass.</summary>
    public NftFamily At(SimulatedSession session) =>
        Ports.Contains(session.Interface) ? NftFamily.Bridge : NftFamily.Inet;

    public void Unmark(uint mask, uint value, uint clear) => Sessions =
    [
        .. Sessions.Select(one => (one.Mark & mask) == value ? one with { Mark = one.Mark & ~clear } : one),
    ];

    private void Move(string device, string? newName)
    {
        if (!HooksByName)
        {
            Nftables.MoveDevice(device, newName);
        }
    }

    private (string What, NftOp[] Ops) Harm(NftTable[] ours, NftTable table)
    {
        NftChain[] chains = [.. table.Chains.Where(chain => chain.Rules.Count > 0)];
        NftSet[] sets = [.. table.Sets.Where(set => set.Elements.Count > 0)];
        switch (fate.Pick(6))
        {
            case 0:
                return ("flush ruleset",
                    [.. Nftables.Ruleset.Tables.Select(one => new NftOp.DeleteTable(one.Family, one.Name))]);
            case 1 when chains.Length > 0:
                string chain = fate.Pick(chains).Name;
                return ($"flush chain {chain}", [new NftOp.FlushChain(table.Family, table.Name, chain)]);
            case 2 when sets.Length > 0:
                NftSet set = fate.Pick(sets);
                var row = new NftElements.Builder(set.RowBytes);
                row.Add(set.Elements[fate.Pick(set.Elements.Count)]);
                return ($"delete an element of {set.Name}",
                    [new NftOp.DeleteElements(table.Family, table.Name, set, row.Build())]);
            case 3 when table.Family == NftFamily.Inet:
                NftVerdict verdict = fate.Pick(2) == 0 ? NftVerdict.Drop : NftVerdict.Accept;
                return ("add a chain that ends all",
                [
                    new NftOp.AddChain(table.Family, table.Name, Foreign, new BaseHook(NftHook.Forward, -500)),
                    new NftOp.AddRule(
                        table.Family, table.Name, Foreign, new NftRule([new NftExpr.VerdictIs(verdict)])),
                ]);
            case 4: return ("make it dormant", []);
            default:
                return ($"delete table {table.Family}", [new NftOp.DeleteTable(table.Family, table.Name)]);
        }
    }
}
