using System.Globalization;
using Agent.Policy;

namespace Agent.Evaluator.Wording;

/// <summary>Names sets of vNICs as a person would.</summary>
internal sealed class VnicNames
{
    /// <summary>Ids in one text; more are counted.</summary>
    private const int NamesMax = 4;

    private readonly string[] all;
    private readonly (string Group, string[] Vnics)[] groups;

    public VnicNames(params ReadOnlySpan<PolicySnapshot> policies)
    {
        var ids = new SortedSet<string>(StringComparer.Ordinal);
        var byGroup = new SortedDictionary<string, SortedSet<string>>(StringComparer.Ordinal);
        foreach (PolicySnapshot policy in policies)
        {
            foreach (Vnic vnic in policy.Vnics.Values)
            {
                ids.Add(vnic.Id);
                foreach (string group in vnic.GroupIds)
                {
                    if (!byGroup.TryGetValue(group, out SortedSet<string>? members))
                    {
                        byGroup.Add(group, members = new SortedSet<string>(StringComparer.Ordinal));
                    }

                    members.Add(vnic.Id);
                }
            }
        }

        all = [.. ids];
        groups = [.. byGroup.Select(pair => (pair.Key, pair.Value.ToArray()))];
    }

    /// <summary>"eni-1", "every vNIC (9)", "every vNIC of sg-web (12)", "eni-1, eni-2 and 8 more".</summary>
    /// <param name="vnics">Ids, ascending.</param>
    public string Of(ReadOnlySpan<string> vnics)
    {
        if (vnics.Length > 1)
        {
            if (vnics.SequenceEqual(all))
            {
                return Counted("every vNIC", vnics.Length);
            }

            foreach ((string group, string[] members) in groups)
            {
                if (vnics.SequenceEqual(members))
                {
                    return Counted($"every vNIC of {group}", vnics.Length);
                }
            }
        }

        string[] names = [.. vnics[..Math.Min(vnics.Length, NamesMax)]];
        int more = vnics.Length - names.Length;
        return string.Join(", ", names)
            + (more > 0 ? string.Create(CultureInfo.InvariantCulture, $" and {more} more") : "");
    }

    private static string Counted(string what, int count) =>
        string.Create(CultureInfo.InvariantCulture, $"{what} ({count})");
}
