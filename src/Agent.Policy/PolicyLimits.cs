namespace Agent.Policy;

/// <summary>Sizes that validation accepts (semantics.md 4.2).</summary>
public sealed record PolicyLimits
{
    public static readonly PolicyLimits Default = new();

    /// <summary>No conntrack table is larger than this (2^22 entries are 1.3 GB of kernel memory).</summary>
    public const int MaxSessionsPerVnic = 1 << 22;

    /// <summary>
    /// What was accepted once is accepted again from the state file, whatever the limits are by then.
    /// </summary>
    public static readonly PolicyLimits Unlimited = new()
    {
        GroupsPerVnic = int.MaxValue,
        WeightedRulesPerVnic = int.MaxValue,
        RulesPerGroupWarning = int.MaxValue,
        GroupRulesPerBasicGroup = int.MaxValue,
        MembersPerBasicGroup = int.MaxValue,
        MembersPerAdvancedGroup = int.MaxValue,
        PrefixListEntries = int.MaxValue,
        PortListEntries = int.MaxValue,
        TakesHiddenText = true,
    };

    public int GroupsPerVnic { get; init; } = 10;

    /// <summary>Over all groups of a vNIC, both directions together; a list weighs its MaxEntries.</summary>
    public int WeightedRulesPerVnic { get; init; } = 1000;

    /// <summary>A group with more rules is accepted with a warning (semantics.md 9.6).</summary>
    public int RulesPerGroupWarning { get; init; } = 200;

    /// <summary>Rules of a basic group that name another group.</summary>
    public int GroupRulesPerBasicGroup { get; init; } = 20;

    /// <summary>Alibaba's value is 6,000 addresses; a host agent has no reason to be the narrower one.</summary>
    public int MembersPerBasicGroup { get; init; } = 65_536;

    public int MembersPerAdvancedGroup { get; init; } = 65_536;

    public int PrefixListEntries { get; init; } = 200;

    public int PortListEntries { get; init; } = 2000;

    /// <summary>Texts may hold line separators and marks of text direction, as they once could.</summary>
    public bool TakesHiddenText { get; init; }
}
