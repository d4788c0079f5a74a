using Agent.Evaluator.Forms;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>Finds packets on which two functions differ, among those that exist in a situation.</summary>
internal sealed class Differences(PacketFunctions functions)
{
    /// <summary>Leaves from here on are no fate.</summary>
    public const int Unknown = 1 << 20;

    /// <summary>Differing pairs of diagrams that are looked into.</summary>
    private const int PairsMax = 24;

    private const int BoxesMax = 400;

    private readonly Dictionary<(int, int), int> numbers = [];
    private readonly List<(int Observed, int Expected)> pairs = [(0, 0)];
    private DiagramMerge? merge;

    /// <returns>Empty if and only if there is none.</returns>
    public IEnumerable<Difference> Between(
        PacketFunction observed, PacketFunction expected, Situation situation, IpFamily family)
    {
        if (observed.Same(expected))
        {
            yield break;
        }

        AddressCut sources = functions.Joint(observed.Sources, expected.Sources);
        AddressCut destinations = functions.Joint(observed.Destinations, expected.Destinations);
        var one = new Finer(functions, observed, sources, destinations);
        var other = new Finer(functions, expected, sources, destinations);
        var seen = new HashSet<(int, int)>();
        int differing = 0;
        for (long pair = 0; pair < (long)sources.Count * destinations.Count; pair++)
        {
            // Nothing is laid out before it is looked at: most often the first pair already differs, or the two
            // functions ask for the same few addresses.
            if (pair == PacketFunctions.PairsMax)
            {
                throw new TooManyAtomsException();
            }

            (int source, int destination) = Math.DivRem((int)pair, destinations.Count);
            (int before, int after) = (one.ClassAt(source, destination), other.ClassAt(source, destination));
            Diagram left = observed.Diagrams[before];
            Diagram right = expected.Diagrams[after];
            if (left == right || !seen.Add((before, after)))
            {
                continue;
            }

            int found = 0;
            foreach (Difference difference in Of(left, right, situation, family))
            {
                yield return difference with
                {
                    Source = sources.Samples[source],
                    Destination = destinations.Samples[destination],
                };
                found++;
            }

            differing += found > 0 ? 1 : 0;
            if (differing == PairsMax)
            {
                yield break;
            }
        }
    }

    /// <summary>A function by the atoms of finer cuts.</summary>
    private readonly struct Finer(
        PacketFunctions functions, PacketFunction function, AddressCut sources, AddressCut destinations)
    {
        private readonly int[] rows = functions.Inclusion(sources, function.Sources);
        private readonly int[] columns = functions.Inclusion(destinations, function.Destinations);

        public int ClassAt(int source, int destination) =>
            function.Classes[rows[source] * function.Destinations.Count + columns[destination]];
    }

    private IEnumerable<Difference> Of(Diagram left, Diagram right, Situation situation, IpFamily family)
    {
        merge ??= new DiagramMerge(functions.Diagrams, NumberOf);
        int boxes = 0;
        foreach (PacketBox box in functions.Diagrams.Boxes(merge.Of(left, right)).Where(box => box.Value > 0))
        {
            foreach (PacketBox real in Real(box, situation, family))
            {
                yield return new Difference(
                    0, 0, real, pairs[box.Value].Observed, pairs[box.Value].Expected);
                if (++boxes == BoxesMax)
                {
                    yield break;
                }
            }
        }
    }

    // The parts of a box in which there are packets, one for each kind of protocol in it.
    private static IEnumerable<PacketBox> Real(PacketBox box, Situation situation, IpFamily family)
    {
        byte[] kinds = [IpProtocol.Tcp, IpProtocol.Udp, IpProtocol.Icmp, IpProtocol.Icmpv6,
            (byte)box.Protocol.First, (byte)box.Protocol.Last];
        ushort plain = box.Protocol.First;
        while (plain < box.Protocol.Last && kinds.AsSpan(0, 4).Contains((byte)plain))
        {
            plain++;
        }

        foreach (byte protocol in kinds.Append((byte)plain).Distinct().Where(kind => box.Protocol.Contains(kind)))
        {
            PacketBox part = box.With(PacketField.Protocol, protocol, protocol);
            if (SituationPackets.Exists(situation, family, part.Sample))
            {
                yield return part;
            }
        }
    }

    private int NumberOf(int observed, int expected)
    {
        if (observed == expected)
        {
            return 0;
        }

        if (!numbers.TryGetValue((observed, expected), out int number))
        {
            numbers.Add((observed, expected), number = pairs.Count);
            pairs.Add((observed, expected));
        }

        return number;
    }
}
