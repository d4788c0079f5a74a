using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text;
using Agent.Cli.Output;
using Agent.Contract;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf;

namespace Agent.Cli.Support;

/// <summary>Everything that a dump has, in its order. A new section is a line here.</summary>
internal static class SupportSections
{
    private const uint Drops = 1000;
    private const uint Sessions = 1_000_000;

    public static readonly ImmutableArray<SupportSection> All =
    [
        new("versions", "versions.txt", "of sgctl, agent and system", SectionKind.Text, VersionsAsync),
        new("status", "status.json", "AgentStatus with groups: sgctl status --groups", SectionKind.Json,
            async (from, _) => Json.Answer(await from.StatusAsync().ConfigureAwait(false))),
        new("vnics", "vnics.json", "sgctl vnics", SectionKind.Json,
            async (from, _) => Json.List("vnics", (await from.StatusAsync().ConfigureAwait(false)).Vnics)),
        new("configuration", "settings.json", "EffectiveConfig: sgctl status --config", SectionKind.Json,
            async (from, cancel) => Json.Answer(await from.Agent.GetConfigAsync(cancel).ConfigureAwait(false))),
        new("configuration file", "config.json.txt", "as it is on disk", SectionKind.Text,
            (from, cancel) => FileAsync(from.Configuration, cancel)),
        new("desired state", "state.json", "Snapshot: sgctl get", SectionKind.Json,
            async (from, _) => Json.State(await from.StateAsync().ConfigureAwait(false))),
        new("staged", "staged.json", "StagedReport: sgctl staged", SectionKind.Json, async (from, cancel) =>
            Json.Answer(await from.Agent.GetStagedAsync(new GetStagedRequest(), cancel).ConfigureAwait(false))),
        new("verification", "verify.json", "VerifyResponse: sgctl verify", SectionKind.Json, VerifyAsync),
        new("ruleset", "ruleset.nft", "what the desired state becomes by default settings: sgctl compile",
            SectionKind.Text, RulesetAsync),
        new("drops", "drops.json", "the last dropped packets that the agent keeps: sgctl drops", SectionKind.Json,
            DropsAsync),
        new("sessions", "sessions.json", "how many, by vNIC, protocol, state and fate", SectionKind.Json,
            SessionsAsync),
        new("metrics", "metrics.txt", "the page of /metrics", SectionKind.Text,
            (from, cancel) => MetricsPage.ReadAsync(from.Metrics, cancel)),
        new("kernel", "kernel.txt", "/proc/version, modules of netfilter and of bridges, sysctls of conntrack",
            SectionKind.Text, (_, _) => Task.FromResult(KernelText.Read())),
        new("interfaces", "interfaces.txt", "/proc/net/dev", SectionKind.TextOfThePast,
            (_, cancel) => FileAsync("/proc/net/dev", cancel)),
        new("journal", "journal.txt", "the last lines of the unit", SectionKind.TextOfThePast,
            (_, cancel) => JournalLines.ReadAsync(cancel)),
    ];

    private static async Task<string> VersionsAsync(SupportSource from, CancellationToken cancel)
    {
        var text = new StringBuilder();
        text.Append("sgctl ").Append(Sgctl.Version).Append('\n');
        try
        {
            AgentStatus status = await from.StatusAsync().ConfigureAwait(false);
            text.Append("sg-agentd ").Append(status.AgentVersion).Append('\n');
        }
        catch (CliException e)
        {
            text.Append("sg-agentd: ").Append(e.Message).Append('\n');
        }

        text.Append(RuntimeInformation.FrameworkDescription).Append(' ')
            .Append(RuntimeInformation.RuntimeIdentifier).Append('\n');
        text.Append(await FileAsync("/etc/os-release", cancel).ConfigureAwait(false));
        return text.ToString();
    }

    private static async Task<string> FileAsync(string path, CancellationToken cancel)
    {
        try
        {
            return await File.ReadAllTextAsync(path, cancel).ConfigureAwait(false);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new LeftOutException($"there is no {path}");
        }
    }

    private static async Task<string> VerifyAsync(SupportSource from, CancellationToken cancel) => from.Proof
        ? Json.Answer(await from.Agent.VerifyAsync(new VerifyRequest(), cancel).ConfigureAwait(false))
        : throw new LeftOutException("not asked for (--no-verify)");

    private static async Task<string> RulesetAsync(SupportSource from, CancellationToken cancel)
    {
        Snapshot state = (await from.StateAsync().ConfigureAwait(false)).Clone();
        state.Revision = Math.Max(1, state.Revision);
        SnapshotResult read = SnapshotReader.Read(state, PolicyLimits.Default);
        return read.Policy is null
            ? throw new LeftOutException($"by default limits the state has {Count.Of(read.Faults.Length, "fault")}")
            : RulesetText.Of(read.Policy, allDevices: false).Text;
    }

    private static async Task<string> DropsAsync(SupportSource from, CancellationToken cancel)
    {
        var records = new List<IMessage>();
        await from.Agent.WatchDropsAsync(
            new WatchDropsRequest { Last = Drops, Verdict = V1.Policy.Drop }, records.Add, cancel)
            .ConfigureAwait(false);
        return Json.List("drops", records);
    }

    private static async Task<string> SessionsAsync(SupportSource from, CancellationToken cancel)
    {
        var counts = new SortedDictionary<(string, string, string, string), long>();
        long all = 0;
        await from.Agent.ListSessionsAsync(
            new ListSessionsRequest { Limit = Sessions }, Add, cancel).ConfigureAwait(false);
        return Json.Document(json =>
        {
            json.WriteNumber("sessions", all);
            json.WriteBoolean("complete", all < Sessions);
            json.WriteStartArray("counts");
            foreach (((string vnic, string protocol, string state, string fate), long count) in counts)
            {
                json.WriteStartObject();
                json.WriteString("vnic_id", vnic);
                json.WriteString("protocol", protocol);
                json.WriteString("state", state);
                json.WriteString("fate", fate);
                json.WriteNumber("sessions", count);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        });

        void Add(SessionStatus session)
        {
            all++;
            foreach (string vnic in session.Ends.Select(end => end.VnicId).DefaultIfEmpty(""))
            {
                (string, string, string, string) key =
                    (vnic, session.Packet.Protocol, session.State, session.Fate.ToString().ToLowerInvariant());
                counts[key] = counts.GetValueOrDefault(key) + 1;
            }
        }
    }
}
