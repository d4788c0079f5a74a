using Agent.Evaluator.Forms;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>What one proof may take from those before: everything in it is named by content. Not for concurrent use.
/// </summary>
public sealed class ProofCache
{
    /// <summary>
    /// What may be remembered besides three times what one proof adds at most, by <see cref="Size"/>: a change leaves
    /// behind what nobody asks again, most of all where epochs keep their names (<see cref="EpochNames"/>).
    /// </summary>
    private const int SpareSize = 150_000;

    /// <summary>Of a run and of a context, with what hangs on them, in diagrams.</summary>
    private const int RunSize = 8;
    private const int ContextSize = 6;

    /// <summary>Pieces of addresses in forms that are kept for the next proof: 20 bytes each.</summary>
    private const int FormPiecesMax = 1_000_000;

    /// <summary>Runs without symbols that are remembered: those of some hundred vNICs.</summary>
    private const int RunsMax = 100_000;

    private (PolicySnapshot Policy, PolicySettings Settings, PolicyOracle Oracle)? policy;

    internal PolicyForms Forms { get; private set; } = new();

    internal Guards.GuardCache Guards { get; } = new();

    internal EpochNames Epochs { get; } = new();

    internal PacketFunctions Functions { get; private set; } = null!;

    internal ProgramNodes Nodes { get; private set; } = new();

    internal Outcomes Outcomes { get; private set; } = new();

    /// <summary>Leaves of <see cref="Outcomes"/> that run.</summary>
    internal LeafFilter Running { get; private set; } = null!;

    /// <summary>Runs of base chains, and the chains that verdict maps led to meanwhile.</summary>
    internal Dictionary<BaseRun, (Summary Summary, List<(string Name, ChainNode? Chain)> Reached)> Runs { get; } = [];

    private Dictionary<(string Groups, Direction, IpFamily), PolicyForm> forms = [];

    /// <summary>Every proof in full, for tests to compare with.</summary>
    internal bool IsWithoutSymbols { get; init; }

    /// <summary>Proofs with symbols.</summary>
    internal QuickCache Quick { get; private set; } = new();

    public ProofCache()
    {
        Functions = new PacketFunctions(Forms.Diagrams);
        Running = new LeafFilter(leaf => Outcomes[leaf].Kind == OutcomeKind.Running);
    }

    /// <summary>Of the proof that is under way: asked between two questions.</summary>
    internal CancellationToken Cancel { get; set; }

    /// <summary>What is remembered, in diagrams: about 100 bytes each.</summary>
    internal int Size => Functions.Size + RunSize * Runs.Count + ContextSize * Outcomes.Contexts + Outcomes.Count;

    private int sizeAtBegin;
    private int largestGrowth;

    /// <summary>Gets ready for a policy; forgets all if it has grown too large.</summary>
    internal PolicyOracle Begin(PolicySnapshot snapshot, PolicySettings settings)
    {
        largestGrowth = Math.Max(largestGrowth, Size - sizeAtBegin);
        if (Size > (3L * largestGrowth) + SpareSize)
        {
            Forms = new PolicyForms();
            Functions = new PacketFunctions(Forms.Diagrams);
            Nodes = new ProgramNodes();
            Runs.Clear();
            Quick = new QuickCache();
            Outcomes outcomes = new();
            Outcomes = outcomes;
            Running = new LeafFilter(leaf => outcomes[leaf].Kind == OutcomeKind.Running);
            policy = null;
        }

        sizeAtBegin = Size;
        if (policy is not { } known || !ReferenceEquals(known.Policy, snapshot) || known.Settings != settings)
        {
            policy = (snapshot, settings, new PolicyOracle(snapshot, settings));
            forms = [];
        }

        return policy.Value.Oracle;
    }

    /// <summary>A proof is done: what it needed only on its way is forgotten.</summary>
    internal void End(Ruleset ruleset)
    {
        Nodes.Keep(ruleset);
        Functions.Trim();
        if (forms.Values.Sum(form => form.Remote.Starts.Length + form.Own.Starts.Length) > FormPiecesMax)
        {
            forms.Clear();
        }

        if (Runs.Count > RunsMax)
        {
            Runs.Clear();
        }
    }

    /// <summary>The same for vNICs with the same groups.</summary>
    internal static string GroupsOf(Vnic vnic) => vnic.GroupIds.IsDefaultOrEmpty ? ""
        : string.Join('|', vnic.GroupIds.Order(StringComparer.Ordinal));

    /// <summary>The form of a vNIC; vNICs with the same groups share it.</summary>
    /// <param name="vnic">One of them.</param>
    /// <param name="direction">Of sessions.</param>
    /// <param name="family">Of packets.</param>
    /// <param name="on">How remote addresses are cut at least, unless the form is there already.</param>
    internal PolicyForm FormOf(Vnic vnic, Direction direction, IpFamily family, AddressCut? on)
    {
        var key = (GroupsOf(vnic), direction, family);
        if (!forms.TryGetValue(key, out PolicyForm? form))
        {
            forms.Add(key, form = Forms.Of(policy!.Value.Oracle, vnic, direction, family, on));
        }

        return form;
    }
}
