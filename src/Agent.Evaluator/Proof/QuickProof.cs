using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>
/// Proves vNICs with symbols in place of their rules and addresses (<see cref="Symbols"/>), one for all that are
/// alike.
/// It says "proved", or nothing: then the proof is done without symbols, for that vNIC.
/// </summary>
/// <remarks>
/// Two vNICs look alike if they are of one VPC, the hooks are the same nodes, and whatever may be asked of the name of
/// their interface has the same answer: the same decision, or a chain that is the same node as each of them looks at it
/// (<see cref="VnicView"/>). Then every step of one's proof is a step of the other's. What was proved of such a class
/// holds until something in its key is another object.
/// </remarks>
internal sealed class QuickProof
{
    private const int NameBytes = 16;

    private readonly QuickCache known;
    private readonly ProofCache cache;
    private readonly Claims claims;
    private readonly Routes routes;
    private readonly Pairs pairs;
    private readonly PolicyOracle oracle;
    private readonly ProofFacts facts;
    private readonly ProgramNodes.Table? table;
    private readonly ImmutableArray<ChainNode> bases = [];
    private readonly Dictionary<string, Judgements> judgements = new(StringComparer.Ordinal);
    private readonly Dictionary<string, QuickClass?> classes = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int[]> stops = new(StringComparer.Ordinal);
    private ILookup<string, string>? owners;

    /// <param name="claims">Without symbols.</param>
    /// <param name="routes">Of the policy.</param>
    /// <param name="pairs">Without symbols: where senders stop that cannot be proved with them.</param>
    /// <param name="oracle">The policy.</param>
    /// <param name="facts">The host.</param>
    /// <param name="cache">What was proved before.</param>
    public QuickProof(
        Claims claims, Routes routes, Pairs pairs, PolicyOracle oracle, ProofFacts facts, ProofCache cache)
    {
        (this.claims, this.routes, this.pairs, this.oracle, this.facts, this.cache) =
            (claims, routes, pairs, oracle, facts, cache);
        known = cache.Quick;
        if (cache.IsWithoutSymbols || claims.Hooks.Only(NftFamily.Inet) is not ({ } inet, { } nodes))
        {
            return;
        }

        ChainNode?[] hooks = [.. inet.Chains.Where(chain => chain.Hook is not null)
            .Select(chain => nodes.ChainOf(chain.Name))];
        if (Array.TrueForAll(hooks, node => node is { Names.IsKnown: true }))
        {
            bases = [.. hooks.OfType<ChainNode>()];
            table = nodes;
            known.Enter(QuickWorld.Of(bases, oracle, facts, routes));
        }
    }

    /// <summary>Whether a vNIC is proved. False says nothing.</summary>
    public bool Proves(Vnic vnic)
    {
        if (table is null || ClassOf(vnic) is not QuickClass here || !Sends(here, vnic))
        {
            return false;
        }

        int[] waiting = StopsIn(vnic.VpcId);
        if (!here.Received.TryGetValue(new IntKey(waiting), out bool receives))
        {
            receives = Attempt(vnic, (at, own) => own.Receives(at), out bool lasting, pairs.StopsIn(vnic.VpcId));
            if (lasting && Knows(vnic, waiting))
            {
                here.Received.Add(new IntKey(waiting), receives);
            }
        }

        return receives;
    }

    // Whether the key says all that the rest of the way asks of the receiver's name, wherever its senders stop.
    private bool Knows(Vnic vnic, int[] waiting)
    {
        QuickEntry entry = known.Entries[vnic.Id];
        return Array.TrueForAll(waiting, number =>
            cache.Outcomes.StopAt(number / (2 * Situation.All.Length)).Chain.Names is { IsKnown: true } names
            && names.Sets.All(entry.Sets.Contains) && names.Bounds.All(entry.Bounds.Contains));
    }

    /// <summary>Forgets what takes room, and was only needed to find out.</summary>
    public void End()
    {
        foreach (Judgements one in judgements.Values)
        {
            one.Forget();
        }

        if (judgements.Count > 0 && known.GroupsKnown > 2 * judgements.Count)
        {
            known.Keep(judgements.Keys);
        }
    }

    private bool Sends(QuickClass here, Vnic vnic)
    {
        if (here.Sends is not bool sends)
        {
            var found = new Dictionary<(Situation, IpFamily), HashSet<Stop>>();
            sends = Attempt(vnic, Parts, out bool lasting, found);
            here.Stops = [.. Numbers(found)];
            here.Sends = sends;
            here.IsLasting = lasting;
            known.Runs++;
        }

        return sends;

        VnicProof? Parts(Vnic at, Pairs own) => own.Claims.Zone(at.InterfaceName, routes.ZoneOf(at))
            ?? Claims.Worst(routes.Of(at), own.Claims.Check) ?? own.Sends(at);
    }

    // All stops of all senders of a VPC. Who cannot be run with symbols is run without.
    private int[] StopsIn(string vpcId)
    {
        if (stops.TryGetValue(vpcId, out int[]? all))
        {
            return all;
        }

        var numbers = new SortedSet<int>();
        Dictionary<(Situation, IpFamily), HashSet<Stop>> places = pairs.StopsIn(vpcId);
        foreach (Vnic sender in pairs.SendersIn(vpcId))
        {
            if (ClassOf(sender) is QuickClass here && Sends(here, sender))
            {
                numbers.UnionWith(here.Stops);
            }
            else
            {
                pairs.Sent(sender);
            }
        }

        numbers.UnionWith(Numbers(places));
        foreach (int number in numbers)
        {
            (int stop, int rest) = Math.DivRem(number, 2 * Situation.All.Length);
            (int situation, int family) = Math.DivRem(rest, 2);
            (Situation, IpFamily) key = (Situation.All[situation], Claims.Families[family]);
            if (!places.TryGetValue(key, out HashSet<Stop>? here))
            {
                places.Add(key, here = []);
            }

            here.Add(cache.Outcomes.StopAt(stop));
        }

        stops.Add(vpcId, all = [.. numbers]);
        return all;
    }

    private IEnumerable<int> Numbers(Dictionary<(Situation, IpFamily), HashSet<Stop>> places)
    {
        foreach (((Situation situation, IpFamily family), HashSet<Stop> here) in places)
        {
            foreach (Stop stop in here)
            {
                yield return cache.Outcomes.NumberOf(stop) * 2 * Situation.All.Length
                    + 2 * Situation.All.IndexOf(situation) + Array.IndexOf(Claims.Families, family);
            }
        }
    }

    /// <param name="vnic">Stands for its class.</param>
    /// <param name="check">What is asked.</param>
    /// <param name="lasting">False: another vNIC's chains were run, which the class does not know of.</param>
    /// <param name="places">Where senders stop.</param>
    private bool Attempt(
        Vnic vnic, Func<Vnic, Pairs, VnicProof?> check, out bool lasting,
        Dictionary<(Situation, IpFamily), HashSet<Stop>> places)
    {
        VnicView view = ViewOf(vnic);
        HookRun hooks = claims.Hooks.In(view);
        var subject = new Subject(vnic, JudgementsOf(vnic).Fields, view.HasOwn, cache.Functions);
        var own = new Claims(claims, hooks, new Expectation(oracle, facts, cache.Functions, cache.FormOf, subject));
        bool proved;
        try
        {
            proved = check(vnic, new Pairs(
                own, routes, oracle.Snapshot, known: (vnic.VpcId, places))) is null;
        }
        catch (Exception e) when (e is NotQuickException or TooManyAtomsException)
        {
            proved = false;
        }

        lasting = hooks.Reached.IsSubsetOf(known.Entries[vnic.Id].Chains.Keys);
        return proved;
    }

    private VnicView ViewOf(Vnic vnic) => new(table!, cache.Nodes, JudgementsOf(vnic), vnic);

    private QuickClass? ClassOf(Vnic vnic)
    {
        if (!classes.TryGetValue(vnic.Id, out QuickClass? found))
        {
            classes.Add(vnic.Id, found = Find(vnic));
        }

        return found;
    }

    private QuickClass? Find(Vnic vnic)
    {
        Judgements judges = JudgementsOf(vnic);
        (bool Closed, bool Adopting) state = (facts.Closed.Contains(vnic.Id), facts.Adopting.Contains(vnic.Id));
        if (known.Entries.TryGetValue(vnic.Id, out QuickEntry? entry) && ReferenceEquals(entry.Vnic, vnic)
            && ReferenceEquals(entry.Judgements, judges) && entry.State == state
            && entry.Chains.All(at => ReferenceEquals(table!.ChainOf(at.Key), at.Value)))
        {
            return entry.Class is { IsLasting: true } ? entry.Class : Renewed(entry, vnic);
        }

        entry = new QuickEntry(vnic, judges, state);
        VnicView view = ViewOf(vnic);
        var key = new List<int>
        {
            vnic.SourceDestinationCheck ? 1 : 0, view.HasOwn.V4 ? 1 : 0, view.HasOwn.V6 ? 1 : 0,
            state.Closed ? 1 : 0, state.Adopting ? 1 : 0, known.NumberOf(vnic.VpcId),
        };
        bool isComplete = AddAnswers(key, entry, view);
        key.AddRange(judges.Fields.Select(field => (int)field)); // by now it is known how the program cuts addresses
        entry.Key = isComplete ? new IntKey([.. key]) : null;
        known.Entries[vnic.Id] = entry;
        return Renewed(entry, vnic);
    }

    // A class that ran other vNICs' chains is this vNIC's alone, and this proof's.
    private QuickClass? Renewed(QuickEntry entry, Vnic vnic)
    {
        if (entry.Key is not IntKey key)
        {
            return entry.Class = null;
        }

        if (!known.Classes.TryGetValue(key, out QuickClass? found) || found is { IsLasting: false })
        {
            known.Classes[key] = found = new QuickClass();
        }

        entry.Class = found;
        if (found.Sends is null)
        {
            Sends(found, vnic);
            if (!found.IsLasting)
            {
                known.Classes.Remove(key);
            }
        }

        return found;
    }

    /// <summary>What the program may ask of the vNIC's name, and the answers.</summary>
    private bool AddAnswers(List<int> key, QuickEntry entry, VnicView view)
    {
        byte[] name = new byte[NameBytes];
        NftElements.PutName(name, entry.Vnic.InterfaceName);
        var nodes = new Queue<ChainNode>(bases);
        var seen = new HashSet<ChainNode>(ReferenceEqualityComparer.Instance);
        while (nodes.TryDequeue(out ChainNode? node))
        {
            key.Add(known.NumberOf(node));
            if (!seen.Add(node))
            {
                continue;
            }

            if (!node.Names.IsKnown)
            {
                return false;
            }

            foreach (ValueArray<byte> bound in node.Names.Bounds)
            {
                entry.Bounds.Add(bound);
                key.Add(Math.Sign(name.AsSpan(0, Math.Min(bound.Count, NameBytes)).SequenceCompareTo(
                    bound.Items.AsSpan())));
            }

            foreach (SetNode set in node.Names.Sets)
            {
                if (entry.Sets.Add(set) && !AddAnswer(key, entry, view, set, name, nodes))
                {
                    return false;
                }
            }
        }

        return true;
    }

    private bool AddAnswer(
        List<int> key, QuickEntry entry, VnicView view, SetNode set, byte[] name, Queue<ChainNode> nodes)
    {
        if (!set.IsReadable || set.Find(name) is var found && found == SetNode.Ambiguous)
        {
            return false;
        }

        if (set.Set.Kind != NftSetKind.VerdictMap || found == 0)
        {
            key.Add(set.Set.Kind is NftSetKind.Set or NftSetKind.CounterMap ? Math.Min(found, 1) : found);
            return true;
        }

        NftVerdict verdict = NftElements.GetVerdict(set.DataOf(found));
        key.Add((int)verdict.Code);
        if (verdict.Chain is not string chain)
        {
            return true;
        }

        entry.Chains[chain] = table!.ChainOf(chain);
        if (view.ChainOf(chain) is not ChainNode target)
        {
            return false;
        }

        nodes.Enqueue(target);
        if (Owners[chain].All(owner => owner == entry.Vnic.InterfaceName))
        {
            return true;
        }

        // Others lead there too, and another vNIC may look at it otherwise.
        key.Add(known.NumberOf(chain));
        return ReferenceEquals(target, entry.Chains[chain]);
    }

    /// <summary>Names of interfaces that lead to a chain, by whatever map.</summary>
    private ILookup<string, string> Owners => owners ??= table!.SetNames
        .Select(table.SetOf).OfType<SetNode>()
        .Where(set => set.Set.Key is [NftType.IfName])
        .SelectMany(set => set.Targets)
        .ToLookup(at => at.Chain, at => at.Name, StringComparer.Ordinal);

    private Judgements JudgementsOf(Vnic vnic)
    {
        string groups = ProofCache.GroupsOf(vnic);
        if (!judgements.TryGetValue(groups, out Judgements? found))
        {
            found = known.JudgementsOf(groups, JudgementInputs.Of(oracle, vnic), cache);
            found.Begin(vnic, claims.Expectation);
            judgements.Add(groups, found);
        }

        return found;
    }
}
