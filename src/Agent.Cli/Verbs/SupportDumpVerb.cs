using System.Collections.Immutable;
using System.CommandLine;
using System.Globalization;
using System.Text;
using Agent.Cli.Output;
using Agent.Cli.Support;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>One archive for a bug report.</summary>
internal sealed class SupportDumpVerb : Verb
{
    private const string ConfigurationVariable = "SG_AGENT_CONFIG";
    private const string DefaultConfiguration = "/etc/sg-agent/config.json";

    private readonly Argument<string?> file = new("FILE")
    {
        Description = "A new .tar.gz file; without it, sg-agent-support-TIME.tar.gz here",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly Option<bool> anonymize = new("--anonymize")
    {
        Description = "Other names and addresses in place of those of this host, the same for the same everywhere",
    };

    private readonly Option<bool> noVerify = new("--no-verify")
    {
        Description = "Without the proof of the ruleset, which takes minutes on a large host",
    };

    private readonly Option<string> metrics = new("--metrics")
    {
        Description = "Where the agent serves /metrics: address:port, or a Unix socket",
        HelpName = "ADDRESS",
        DefaultValueFactory = _ => "127.0.0.1:9477",
    };

    private readonly Option<string> config = new("--config")
    {
        Description = $"The daemon's configuration file (environment: {ConfigurationVariable})",
        HelpName = "PATH",
    };

    private readonly Option<int> seconds = new("--timeout")
    {
        Description = "What a section may take at most",
        HelpName = "SECONDS",
        DefaultValueFactory = _ => 120,
    };

    public SupportDumpVerb(GlobalOptions options) : base(options, "support-dump",
        "Write one archive for a bug report: status, state, ruleset, counters, journal. Secrets are taken out; a "
        + "MANIFEST says what is in it and what is not. Works without the agent, too.")
    {
        config.DefaultValueFactory = _ => options.Around.Environment(ConfigurationVariable) is { Length: > 0 } path
            ? path : DefaultConfiguration;
        metrics.Validators.Add(result =>
        {
            if (!MetricsPage.IsAddress(result.GetValueOrDefault<string>() ?? ""))
            {
                result.AddError("--metrics is address:port, or the path of a Unix socket");
            }
        });
        seconds.Validators.Add(result =>
        {
            if (result.Tokens.Count > 0 && result.GetValueOrDefault<int>() is < 1 or > 86_400)
            {
                result.AddError("--timeout is a number of seconds from 1 to 86400");
            }
        });
        Arguments.Add(file);
        foreach (Option option in (Option[])[anonymize, noVerify, metrics, config, seconds])
        {
            Options.Add(option);
        }
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl support-dump",
        "sgctl support-dump --anonymize /tmp/dump.tar.gz",
        "sgctl support-dump --json | jq '.sections[] | select(.result != \"included\")'",
    ];

    protected override async Task<int> RunAsync(Call call)
    {
        DateTimeOffset now = TimeProvider.System.GetUtcNow();
        string name = string.Create(CultureInfo.InvariantCulture, $"sg-agent-support-{now:yyyyMMdd'T'HHmmss'Z'}");
        string path = call.Parsed.GetValue(file) ?? $"{name}.tar.gz";
        if (path == "-")
        {
            throw new CliException(
                ExitCode.Usage, "usage", "an archive is not written to standard output", "Name a file.");
        }

        FileStream archive = SupportArchive.Create(path); // before minutes of work
        bool done = false;
        try
        {
            bool hide = call.Parsed.GetValue(anonymize);
            ImmutableArray<SupportPart> parts = await CollectAsync(call, hide).ConfigureAwait(false);
            string manifest = SupportArchive.Manifest(hide ? Path.GetFileName(path) : path, parts, hide, now);
            try
            {
                SupportArchive.Write(archive, name, manifest, parts, now);
                archive.Flush(flushToDisk: true);
            }
            catch (IOException e)
            {
                throw SupportArchive.Unwritable(path, e.Message);
            }

            Print(call, path, archive.Length, manifest, parts);
            done = true;
            return ExitCode.Done;
        }
        finally
        {
            await archive.DisposeAsync().ConfigureAwait(false);
            if (!done)
            {
                File.Delete(path);
            }
        }
    }

    private async Task<ImmutableArray<SupportPart>> CollectAsync(Call call, bool hide)
    {
        using var agent = new AgentConnection(call.SocketPath);
        var source = new SupportSource(
            call, agent, call.Parsed.GetRequiredValue(metrics), call.Parsed.GetRequiredValue(config),
            Proof: !call.Parsed.GetValue(noVerify));
        ImmutableArray<SupportPart> parts = await SupportDump.CollectAsync(
            source, TimeSpan.FromSeconds(call.Parsed.GetValue(seconds)), section =>
            {
                if (!call.Json && call.Around.ErrorWidth is not null)
                {
                    call.Error.Line((section.Name, Screen.Dim));
                }
            }).ConfigureAwait(false);
        return hide ? SupportDump.Anonymize(parts, await StateAsync(source).ConfigureAwait(false)) : parts;
    }

    private static async Task<Snapshot?> StateAsync(SupportSource source)
    {
        try
        {
            return await source.StateAsync().ConfigureAwait(false);
        }
        catch (CliException)
        {
            return null; // the section says why
        }
    }

    private static void Print(
        Call call, string path, long size, string manifest, ImmutableArray<SupportPart> parts)
    {
        if (call.Json)
        {
            call.Out.Raw(manifest);
            return;
        }

        call.Out.Table(["section", "result", "size", "detail"], [.. parts.Select(part => new Cell[]
        {
            part.Section.Name,
            new(part.Result, part.Result switch
            {
                "included" => Screen.Good,
                "failed" => Screen.Bad,
                _ => Screen.Warning,
            }),
            part.Text is null ? "" : Count.Bytes((ulong)Encoding.UTF8.GetByteCount(part.Text)),
            part.Removed > 0 ? $"{Count.Of(part.Removed, "secret")} removed" : part.Detail,
        })]);
        call.Out.Line();
        call.Out.Line(
            (path, Screen.Strong),
            ($": {Count.Bytes((ulong)size)}. Look into it before you send it.", Screen.Plain));
    }
}
