using System.Collections.Immutable;
using System.Text;
using Agent.Cli.Conversion;
using Agent.Cli.Input;
using Agent.Cli.Output;
using Agent.Contract;
using Agent.Daemon.Sessions;
using Agent.Netlink;
using Agent.Netlink.Conntrack;
using Agent.Policy;
using Agent.V1;
using CliJson = Agent.Cli.Output.Json;

namespace Agent.Tests.Fuzz;

/// <summary>JSON or YAML that somebody gives to sgctl.</summary>
internal abstract class DocumentTarget : FuzzTarget
{
    // Nodes, places and trails of a text that is all brackets.
    public override long LeastAllowance => 4 << 20;

    public override long AllowancePerByte => 3000;

    public override byte[] Mutate(byte[] input, byte[] other, Random random) => TextMutations.Of(input, other, random);

    /// <summary>With a path in which an id is as long as ids may be, and longer in bytes.</summary>
    private const int LongestFault = 4000;

    protected static string Told(IEnumerable<FileFault> faults)
    {
        foreach (FileFault one in faults)
        {
            FuzzException.Unless(one.At is not { } at || (at.Line >= 1 && at.Column >= 1), $"{one} is nowhere");
            FuzzException.Unless(
                one.Fault.Message.Length > 0 && one.Fault.Remedy.Length > 0, $"{one.Fault.Code} says nothing");
            FuzzException.Unless(
                one.Fault.ToString().Length < LongestFault,
                $"{one.Fault.Code} says {one.Fault.ToString().Length} characters");
            _ = CliJson.Text(json => json.WriteStringValue(one.Fault.ToString()));
        }

        return string.Join(' ', faults.Select(one => one.Fault.Code + Kind(one.Fault.Message)).Distinct().Order());
    }
}

/// <summary>Policy files: read, validated, written as JSON and YAML, and read again.</summary>
internal sealed class PolicyFileTarget : DocumentTarget
{
    public override string Name => "policy";

    public override string Read(byte[] input)
    {
        PolicyFileResult read = PolicyFile.Read("f", input);
        FuzzException.Unless(read.File is null == !read.Faults.IsEmpty, "neither a file nor a fault, or both");
        if (read.File is not { } file)
        {
            return Told(read.Faults);
        }

        Snapshot message = file.Message.Clone();
        message.Revision = Math.Max(1, message.Revision);
        SnapshotResult result = SnapshotReader.Read(message, PolicyLimits.Default);
        ImmutableArray<FileFault> faults = [.. result.Faults.Select(file.Place)];
        FuzzException.Unless(result.Policy is null == !faults.IsEmpty, "neither a policy nor a fault, or both");
        FuzzException.Unless(result.Warnings.All(one => PlainText.Is(one)), "a warning that hides something");
        if (result.Policy is not null)
        {
            CheckWritten(file.Message);
        }

        return $"{result.Policy is null} {Told(faults)}";
    }

    private static void CheckWritten(Snapshot message)
    {
        string json = CliJson.State(message);
        foreach ((string name, string text) in (IEnumerable<(string, string)>)
            [("a.json", json), ("a.yaml", Yaml.FromJson(json))])
        {
            PolicyFileResult again = PolicyFile.Read(name, Encoding.UTF8.GetBytes(text));
            FuzzException.Unless(again.File is not null, $"{name} of it has faults: {Told(again.Faults)}\n{text}");
            FuzzException.Unless(again.File!.Message.Equals(message), $"{name} of it is another policy: {text}");
        }
    }
}

/// <summary>Answers of other clouds.</summary>
internal sealed class ConvertTarget : DocumentTarget
{
    public override string Name => "convert";

    public override int Inputs => 15_000;

    public override string Read(byte[] input)
    {
        // The second time, what cannot be said is left out.
        string came = "";
        foreach (bool skips in (bool[])[false, true])
        {
            ConversionResult result = Converter.Convert(
                [new NamedContent("f", input)], new ConversionOptions(null, null, V1.GroupType.Unspecified, skips));
            FuzzException.Unless(result.Policy is null == !result.Faults.IsEmpty, "neither a policy nor a fault");
            FuzzException.Unless(skips || result.Skipped.IsEmpty, "something is left out unasked");
            if (result.Policy is { } policy)
            {
                CheckGood(policy, input);
            }

            came += $"{result.Policy is null} {Told(result.Faults)} / {Told(result.Skipped)} / "
                + $"{Told(result.Warnings)} / ";
        }

        return came;
    }

    private static void CheckGood(Snapshot policy, byte[] input)
    {
        PolicyFileResult file = PolicyFile.Read("f.json", Encoding.UTF8.GetBytes(CliJson.State(policy)));
        FuzzException.Unless(file.File is not null, $"the policy is no policy file: {Told(file.Faults)}");
        Snapshot numbered = file.File!.Message.Clone();
        numbered.Revision = 1;
        FuzzException.Unless(
            SnapshotReader.Read(numbered, PolicyLimits.Default).Faults.IsEmpty, "the policy has faults");

        // Nothing is wider than what was read: a policy lets nobody in whom no document names.
        string text = Encoding.UTF8.GetString(input);
        foreach (string cidr in policy.Groups.SelectMany(group => group.Rules)
            .Where(rule => rule.Policy == V1.Policy.Accept).Select(rule => rule.Cidr))
        {
            FuzzException.Unless(
                cidr.Length == 0 || text.Contains(cidr, StringComparison.Ordinal) || cidr is "0.0.0.0/0" or "::/0"
                    || text.Contains(cidr.Split('/')[0], StringComparison.Ordinal)
                    || text.Contains('\\', StringComparison.Ordinal), $"'{cidr}' is accepted, and in no document");
        }
    }
}

/// <summary>What export-sessions printed, up to what the kernel is told.</summary>
internal sealed class SessionArchiveTarget : DocumentTarget
{
    public override string Name => "sessions";

    public override string Read(byte[] input)
    {
        ExportedSessions? sessions;
        ImmutableArray<FileFault> faults;
        try
        {
            (sessions, faults) = MessageDocument.Read<ExportedSessions>(PolicyFile.Parse("f", input));
        }
        catch (MalformedTextException e)
        {
            return Told([MessageDocument.Fault(e.At, e.Message, e.Remedy)]);
        }

        FuzzException.Unless(sessions is null == !faults.IsEmpty, "neither sessions nor a fault, or both");
        var told = new List<string>();
        for (int i = 0; i < sessions?.Sessions.Count; i++)
        {
            int before = told.Count;
            Flow? flow = MovingSessions.Read(sessions.Sessions[i], 7, "s", told);
            FuzzException.Unless(flow is null == told.Count > before, "neither a session nor a fault, or both");
            if (flow is not null)
            {
                FlowCodec.WriteNew(new NlWriter(), 1, flow);
                FuzzException.Unless(
                    flow is { IsTranslated: false, Mark: 0, Zone: 7 }, "a session that is judged already");
            }
        }

        return Told(faults) + string.Join(' ', told.Select(Kind).Distinct());
    }
}
