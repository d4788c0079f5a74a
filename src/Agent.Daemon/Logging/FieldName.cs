using System.Collections.Concurrent;

namespace Agent.Daemon.Logging;

/// <summary>
/// How an argument of the catalogue is called in the journal: VnicCount is SG_VNIC_COUNT. The same argument has the
/// same name in every event and in drop records, so that SG_VNIC=eni-1 finds all that concerns a vNIC.
/// </summary>
internal static class FieldName
{
    private static readonly ConcurrentDictionary<string, string> Known = new(StringComparer.Ordinal);

    /// <param name="argument">In PascalCase, of letters and digits.</param>
    public static string Of(string argument) => Known.GetOrAdd(argument, static name => "SG_" + string.Concat(
        name.Select((c, i) => (i > 0 && char.IsUpper(c) ? "_" : "") + char.ToUpperInvariant(c))));
}
