using System.Globalization;
using Agent.Policy;

namespace Agent.Tests.Evaluator;

/// <summary>A host as large as they come: many vNICs, few combinations of groups, many rules.</summary>
public static class LargePolicy
{
    /// <param name="vnics">eni-0, eni-1 ...; vNIC i is in group sg-(i mod profiles).</param>
    /// <param name="profiles">sg-0, sg-1 ...</param>
    /// <param name="rules">Of each group; r1, r2 ...</param>
    public static PolicySnapshot Of(int vnics, int profiles, int rules)
    {
        var random = new Random(17);
        var builder = new PolicyBuilder();
        for (int group = 0; group < profiles; group++)
        {
            builder.Basic($"sg-{group}", Verdict.Accept, [.. Enumerable.Range(0, rules).Select(_ => Rule(random))]);
        }

        for (int vnic = 0; vnic < vnics; vnic++)
        {
            builder.Nic($"eni-{vnic}", $"10.{200 + vnic / 250}.{vnic % 250}.1", $"sg-{vnic % profiles}");
        }

        return builder.Build();
    }

    private static string Rule(Random random)
    {
        int port = random.Next(1, 60_000);
        return string.Create(CultureInfo.InvariantCulture,
            $"{(random.Next(4) > 0 ? "in" : "out")} {random.Next(1, 101)} {(random.Next(4) > 0 ? "accept" : "drop")} "
            + $"{(random.Next(3) > 0 ? "tcp" : "udp")} {port}/{port + random.Next(0, 40)} "
            + $"10.{random.Next(0, 64)}.{random.Next(0, 256)}.0/{random.Next(14, 25)}");
    }
}
