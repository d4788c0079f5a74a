namespace Agent.Evaluator.Guards;

/// <summary>A function of classes of fields to a number; equal references are equal functions.</summary>
/// <remarks>It belongs to the <see cref="FrameDiagrams"/> that made it.</remarks>
internal readonly record struct FrameDiagram(int Ref)
{
    public bool IsLeaf => Ref < 0;

    public int Value => ~Ref;
}

/// <summary>
/// Decision diagrams over fields of which each has a few classes of values: what nothing tells apart is one class.
/// </summary>
/// <remarks>
/// They know numbers of fields and of classes, not what these are: the guards of most vNICs are one function, with
/// other constants, and share all nodes and memos. Not for concurrent use.
/// </remarks>
internal sealed class FrameDiagrams
{
    private readonly List<(int Field, FrameDiagram[] Children)> nodes = [];
    private readonly Dictionary<Key, FrameDiagram> known = [];
    private readonly Dictionary<
        (int Field, int Count, ulong Classes, FrameDiagram, FrameDiagram), FrameDiagram> choices = [];

    private readonly Dictionary<(FrameDiagram, FrameDiagram), FrameDiagram> differences = [];

    /// <summary>Nodes and memos so far.</summary>
    public int Size => nodes.Count + choices.Count + differences.Count;

    public static FrameDiagram Leaf(int value) => new(~value);

    public int FieldOf(FrameDiagram diagram) => diagram.IsLeaf ? int.MaxValue : nodes[diagram.Ref].Field;

    /// <summary>One for each class of the field.</summary>
    public ReadOnlySpan<FrameDiagram> Children(FrameDiagram diagram) => nodes[diagram.Ref].Children;

    /// <summary>One function where a field's class is among some, another one elsewhere.</summary>
    /// <param name="field">The field's number: those of lower numbers are asked first.</param>
    /// <param name="count">Classes that the field has; at most 64.</param>
    /// <param name="classes">A bit for each class that is meant.</param>
    /// <param name="then">There.</param>
    /// <param name="otherwise">Elsewhere.</param>
    public FrameDiagram Where(int field, int count, ulong classes, FrameDiagram then, FrameDiagram otherwise)
    {
        if (then == otherwise || classes == 0)
        {
            return otherwise;
        }

        if (classes == ulong.MaxValue >> 64 - count)
        {
            return then;
        }

        var key = (field, count, classes, then, otherwise);
        if (choices.TryGetValue(key, out FrameDiagram result))
        {
            return result;
        }

        int top = Math.Min(field, Math.Min(FieldOf(then), FieldOf(otherwise)));
        var children = new FrameDiagram[
            top == field ? count : Children(FieldOf(then) == top ? then : otherwise).Length];
        for (int i = 0; i < children.Length; i++)
        {
            FrameDiagram one = FieldOf(then) == top ? Children(then)[i] : then;
            FrameDiagram other = FieldOf(otherwise) == top ? Children(otherwise)[i] : otherwise;
            children[i] = top != field ? Where(field, count, classes, one, other)
                : (classes >> i & 1) != 0 ? one : other;
        }

        choices.Add(key, result = Node(top, children));
        return result;
    }

    /// <summary>Each leaf replaced by another one.</summary>
    public FrameDiagram Map(FrameDiagram diagram, Func<int, int> map) => Map(diagram, map, []);

    /// <summary>1 where two functions differ, 0 elsewhere.</summary>
    public FrameDiagram Difference(FrameDiagram one, FrameDiagram other)
    {
        if (one == other)
        {
            return Leaf(0);
        }

        if (one.IsLeaf && other.IsLeaf)
        {
            return Leaf(1);
        }

        if (!differences.TryGetValue((one, other), out FrameDiagram result))
        {
            int top = Math.Min(FieldOf(one), FieldOf(other));
            var children = new FrameDiagram[Children(FieldOf(one) == top ? one : other).Length];
            for (int i = 0; i < children.Length; i++)
            {
                children[i] = Difference(
                    FieldOf(one) == top ? Children(one)[i] : one, FieldOf(other) == top ? Children(other)[i] : other);
            }

            differences.Add((one, other), result = Node(top, children));
        }

        return result;
    }

    /// <summary>The ways to a leaf: for each field that is asked on one, its class.</summary>
    public IEnumerable<IReadOnlyList<(int Field, int Class)>> PathsTo(FrameDiagram diagram, int leaf) =>
        PathsTo(diagram, leaf, []);

    private IEnumerable<IReadOnlyList<(int Field, int Class)>> PathsTo(
        FrameDiagram diagram, int leaf, List<(int, int)> path)
    {
        if (diagram.IsLeaf)
        {
            if (diagram.Value == leaf)
            {
                yield return [.. path];
            }

            yield break;
        }

        for (int i = 0; i < nodes[diagram.Ref].Children.Length; i++)
        {
            path.Add((FieldOf(diagram), i));
            foreach (IReadOnlyList<(int, int)> found in PathsTo(nodes[diagram.Ref].Children[i], leaf, path))
            {
                yield return found;
            }

            path.RemoveAt(path.Count - 1);
        }
    }

    /// <summary>The leaf for the classes of all fields.</summary>
    public int At(FrameDiagram diagram, Func<int, int> classOf)
    {
        while (!diagram.IsLeaf)
        {
            diagram = Children(diagram)[classOf(FieldOf(diagram))];
        }

        return diagram.Value;
    }

    private FrameDiagram Map(
        FrameDiagram diagram, Func<int, int> map, Dictionary<FrameDiagram, FrameDiagram> done)
    {
        if (diagram.IsLeaf)
        {
            return Leaf(map(diagram.Value));
        }

        if (!done.TryGetValue(diagram, out FrameDiagram result))
        {
            FrameDiagram[] children = [.. nodes[diagram.Ref].Children.Select(child => Map(child, map, done))];
            done.Add(diagram, result = Node(FieldOf(diagram), children));
        }

        return result;
    }

    private FrameDiagram Node(int field, FrameDiagram[] children)
    {
        if (!children.AsSpan().ContainsAnyExcept(children[0]))
        {
            return children[0];
        }

        var key = new Key(field, children);
        if (!known.TryGetValue(key, out FrameDiagram node))
        {
            known.Add(key, node = new FrameDiagram(nodes.Count));
            nodes.Add((field, children));
        }

        return node;
    }

    private readonly record struct Key(int Field, FrameDiagram[] Children)
    {
        public bool Equals(Key other) =>
            Field == other.Field && Children.AsSpan().SequenceEqual(other.Children);

        public override int GetHashCode()
        {
            HashCode hash = default;
            hash.Add(Field);
            foreach (FrameDiagram child in Children)
            {
                hash.Add(child.Ref);
            }

            return hash.ToHashCode();
        }
    }
}
