namespace Agent.Compiler;

/// <summary>What the kernel sends with a packet that it reports: which side of a vNIC, and why.</summary>
/// <param name="From">The packet is from the guest; otherwise it is for it.</param>
/// <param name="Reason">
/// Of <see cref="DropReason"/>, of <see cref="SpoofKind"/>, or <see cref="Accepted"/>.
/// </param>
/// <param name="IsJudged">The packet mark may be a rule's decision.</param>
/// <remarks><c>"sg from rule"</c>, <c>"sg to stale unjudged"</c>: an operator sees it in <c>nft list</c>.</remarks>
public readonly record struct RecordPrefix(bool From, string Reason, bool IsJudged = true)
{
    /// <summary>The packet opened a session that the vNIC's rules admit.</summary>
    public const string Accepted = "accepted";

    private const string Unjudged = "unjudged";

    public override string ToString() => $"sg {(From ? "from" : "to")} {Reason}{(IsJudged ? "" : $" {Unjudged}")}";

    /// <returns>Null: it is not one of ours.</returns>
    public static RecordPrefix? Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string[] words = text.Split(' ');
        return words is ["sg", "from" or "to", { Length: > 0 } reason, .. var rest] && rest is [] or [Unjudged]
            ? new RecordPrefix(words[1] == "from", reason, IsJudged: rest is []) : null;
    }
}
