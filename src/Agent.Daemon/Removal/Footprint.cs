using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Agent.Daemon.Removal;

/// <summary>A number of the kernel that the agent has set.</summary>
/// <param name="Found">What it was before.</param>
/// <param name="Put">What the agent has made of it.</param>
internal readonly record struct ChangedSysctl(int Found, int Put);

/// <summary>
/// What the agent leaves in the kernel of its network namespace when it ends: what is to be taken away by whoever wants
/// the host as it was.
/// </summary>
/// <remarks>
/// <code>
/// sg-agent footprint 1
/// table sg_agent marks ffff0000
/// sysctl nf_conntrack_generic_timeout found 600 put 30
/// </code>
/// </remarks>
internal sealed partial record Footprint
{
    private const string Head = "sg-agent footprint 1";

    public static readonly Footprint None = new();

    /// <summary>Names of our tables, and which bits of conntrack marks go with them.</summary>
    public ImmutableSortedDictionary<string, uint> Tables { get; init; } =
        ImmutableSortedDictionary.Create<string, uint>(StringComparer.Ordinal);

    /// <summary>By file name in <see cref="ConntrackSysctls.Directory"/>.</summary>
    public ImmutableSortedDictionary<string, ChangedSysctl> Sysctls { get; init; } =
        ImmutableSortedDictionary.Create<string, ChangedSysctl>(StringComparer.Ordinal);

    public string Format()
    {
        var text = new StringBuilder(Head).Append('\n');
        foreach ((string table, uint marks) in Tables)
        {
            text.Append(CultureInfo.InvariantCulture, $"table {table} marks {marks:x8}\n");
        }

        foreach ((string name, ChangedSysctl changed) in Sysctls)
        {
            text.Append(CultureInfo.InvariantCulture, $"sysctl {name} found {changed.Found} put {changed.Put}\n");
        }

        return text.ToString();
    }

    /// <summary>Reads what <see cref="Format"/> wrote.</summary>
    /// <returns>What can be read: a line that makes no sense is left out, since the others are still to be taken away.
    /// </returns>
    public static Footprint Parse(string text)
    {
        Footprint read = None;
        foreach (string line in text.Split('\n').SkipWhile(line => line != Head))
        {
            if (TableLine().Match(line) is { Success: true } table)
            {
                uint marks = uint.Parse(
                    table.Groups[2].ValueSpan, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
                read = read with { Tables = read.Tables.SetItem(table.Groups[1].Value, marks) };
            }
            else if (SysctlLine().Match(line) is { Success: true } sysctl)
            {
                var changed = new ChangedSysctl(Number(sysctl.Groups[2]), Number(sysctl.Groups[3]));
                read = read with { Sysctls = read.Sysctls.SetItem(sysctl.Groups[1].Value, changed) };
            }
        }

        return read;
    }

    private static int Number(Group digits) => int.Parse(digits.ValueSpan, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^table (\S{1,255}) marks ([0-9a-f]{8})$", RegexOptions.CultureInvariant)]
    private static partial Regex TableLine();

    // The name becomes a path: no more than the names that there are.
    [GeneratedRegex(
        "^sysctl (nf_conntrack_[a-z0-9_]{1,60}) found ([0-9]{1,9}) put ([0-9]{1,9})$", RegexOptions.CultureInvariant)]
    private static partial Regex SysctlLine();
}
