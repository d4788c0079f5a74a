namespace Agent.Nftables;

/// <summary>How an object differs from what it should be.</summary>
public enum ChangeKind
{
    Missing,
    Added,
    Altered,
}

/// <summary>An object of a table that is not what it should be.</summary>
/// <param name="Kind">How it differs.</param>
/// <param name="Object">"table inet sg_agent", "chain inet sg_agent sg_forward", "set ...", "object ...".</param>
/// <param name="Detail">What of it, as far as that can be said in a line; empty if the whole object.</param>
public sealed record RulesetChange(ChangeKind Kind, string Object, string Detail)
{
    public override string ToString() =>
        $"{Kind.ToString().ToLowerInvariant()}: {Object}{(Detail.Length > 0 ? $": {Detail}" : "")}";

    /// <summary>Everything in which a ruleset differs from what it should be, tables of other names aside.</summary>
    public static IReadOnlyList<RulesetChange> Between(Ruleset held, Ruleset wanted)
    {
        ArgumentNullException.ThrowIfNull(held);
        ArgumentNullException.ThrowIfNull(wanted);
        var changes = new List<RulesetChange>();
        foreach (NftTable table in wanted.Tables)
        {
            string name = $"{NftText.FamilyName(table.Family)} {table.Name}";
            if (held.Find(table.Family, table.Name) is not NftTable found)
            {
                changes.Add(new RulesetChange(ChangeKind.Missing, $"table {name}", ""));
                continue;
            }

            if (found.Dormant != table.Dormant)
            {
                changes.Add(new RulesetChange(ChangeKind.Altered, $"table {name}", "made dormant: nothing runs"));
            }

            Compare(changes, $"chain {name}", found.Chains, table.Chains, chain => chain.Name, (was, should) =>
                DetailOf(table, was, should));
            Compare(changes, $"set {name}", found.Sets, table.Sets, set => set.Name, DetailOf);
            Compare(changes, $"object {name}", found.Objects, table.Objects, item => item.Name, (_, _) => "");
        }

        return changes;
    }

    private static void Compare<T>(
        List<RulesetChange> changes, string what, IEnumerable<T> held, IEnumerable<T> wanted, Func<T, string> nameOf,
        Func<T, T, string> detail) where T : class
    {
        Dictionary<string, T> found = held.DistinctBy(nameOf).ToDictionary(nameOf, StringComparer.Ordinal);
        foreach (T should in wanted)
        {
            string name = nameOf(should);
            if (!found.Remove(name, out T? was))
            {
                changes.Add(new RulesetChange(ChangeKind.Missing, $"{what} {name}", ""));
            }
            else if (!was.Equals(should))
            {
                changes.Add(new RulesetChange(ChangeKind.Altered, $"{what} {name}", detail(was, should)));
            }
        }

        changes.AddRange(found.Keys.Order(StringComparer.Ordinal)
            .Select(name => new RulesetChange(ChangeKind.Added, $"{what} {name}", "")));
    }

    // The first rule that differs says most; what follows it has often only moved.
    private static string DetailOf(NftTable table, NftChain was, NftChain should)
    {
        if (was.Hook != should.Hook)
        {
            return was.Hook is { PolicyDrop: true } ? "its policy is drop" : "its hook";
        }

        int more = was.Rules.Count - should.Rules.Count;
        int at = 0;
        while (at < was.Rules.Count && at < should.Rules.Count && was.Rules[at] == should.Rules[at])
        {
            at++;
        }

        NftRule? rule = more < 0 ? should.Rules[at] : at < was.Rules.Count ? was.Rules[at] : null;
        string text = rule is null ? "" : NftText.Print(table, rule) ?? "(a rule that has no text)";
        return more > 0 ? $"{Count(more)} more, first differing rule {at + 1}: {text}"
            : more < 0 ? $"{Count(-more)} fewer, missing at {at + 1}: {text}"
            : $"rule {at + 1} is now: {text}";

        static string Count(int rules) => rules == 1 ? "1 rule" : $"{rules} rules";
    }

    private static string DetailOf(NftSet was, NftSet should)
    {
        if (was.Unexpected is not null)
        {
            return was.Unexpected;
        }

        if (was with { Elements = should.Elements } != should)
        {
            return "its type";
        }

        (NftElements added, NftElements missing) = NftElements.Difference(was.Elements, should.Elements);
        string[] parts = [Say("too many", was, added), Say("missing", should, missing)];
        return string.Join(", ", parts.Where(part => part.Length > 0));

        static string Say(string what, NftSet set, NftElements rows) => rows.Count == 0 ? ""
            : $"{(rows.Count == 1 ? "1 element" : $"{rows.Count} elements")} {what}, such as "
                + NftText.Element(set, rows[0]);
    }
}
