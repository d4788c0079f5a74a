using Agent.Evaluator.Forms;

namespace Agent.Evaluator.Wording;

/// <summary>What decides a packet, in a word or two.</summary>
internal static class RowWords
{
    /// <summary>"sg-web/http", "inner sg-web", "default", "metadata", "platform", "no policy".</summary>
    public static string Of(PolicyRow row) => row.Reason switch
    {
        VerdictReason.Rule => $"{row.GroupId}/{row.Rule!.Id}",
        VerdictReason.Inner => $"inner {row.GroupId}",
        VerdictReason.Default => "default",
        VerdictReason.Metadata => "metadata",
        VerdictReason.PlatformBlock => "platform",
        _ => "no policy",
    };
}
