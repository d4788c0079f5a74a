using System.CommandLine.Completions;
using Agent.V1;
using Grpc.Core;

namespace Agent.Cli.Completion;

/// <summary>What may stand for an argument or an option's value, beyond the words that it is limited to.</summary>
internal static class Suggestions
{
    /// <summary>Stands for the names of files, which the shell knows better.</summary>
    public const string FilesLabel = ":files";

    /// <summary>Somebody waits with a finger on the key.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>agent.proto, DropRecord.reason.</summary>
    private static readonly string[] Reasons =
    [
        "rule", "default", "stale", "invalid", "notsyn", "host", "closed", "zone", "limit", "address",
        "mac", "ethertype", "ip4", "ip6", "arp", "nd", "ra", "redirect", "dhcp",
    ];

    public static IEnumerable<CompletionItem> Files(CompletionContext context) => [new(FilesLabel)];

    public static IEnumerable<CompletionItem> Protocols(CompletionContext context) =>
        Words(["tcp", "udp", "icmp", "icmpv6", "gre"]);

    public static IEnumerable<CompletionItem> DropReasons(CompletionContext context) => Words(Reasons);

    public static IEnumerable<CompletionItem> Durations(CompletionContext context) => Words(["10m", "1h", "1d"]);

    /// <summary>Ids of vNICs; also names of interfaces, once somebody has begun to write one.</summary>
    public static Func<CompletionContext, IEnumerable<CompletionItem>> Vnics(GlobalOptions options) => context =>
    {
        if (context.ParseResult?.CommandResult.Command is not Verbs.Verb)
        {
            return []; // not of a command line
        }

        AgentStatus? status = StatusNow(context.ParseResult.GetValue(options.Socket) ?? GlobalOptions.DefaultSocket);
        VnicStatus[] vnics = [.. status?.Vnics ?? []];
        return
        [
            .. vnics.Where(vnic => vnic.VnicId.Length > 0).Select(vnic =>
                new CompletionItem(vnic.VnicId, detail: $"{vnic.InterfaceName}, {Output.VnicText.Word(vnic.State)}")),
            .. vnics.Where(vnic => context.WordToComplete.Length > 0 && vnic.VnicId.Length > 0)
                .Select(vnic => new CompletionItem(vnic.InterfaceName, detail: vnic.VnicId)),
        ];
    };

    private static IEnumerable<CompletionItem> Words(string[] words) => words.Select(word => new CompletionItem(word));

    /// <returns>Null: the agent does not answer at once, whatever the reason.</returns>
    public static AgentStatus? StatusNow(string socketPath)
    {
        using var limit = new CancellationTokenSource(Patience);
        try
        {
            using var agent = new AgentConnection(socketPath);
            return agent.GetStatusAsync(groups: false, limit.Token).GetAwaiter().GetResult();
        }
        catch (Exception e) when (e is CliException or OperationCanceledException or RpcException)
        {
            return null;
        }
    }
}
