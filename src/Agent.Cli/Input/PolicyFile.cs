using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using Agent.Contract;
using Agent.Policy;
using Agent.V1;

namespace Agent.Cli.Input;

/// <summary>A policy file, or everything that is wrong with it.</summary>
internal sealed record PolicyFileResult(PolicyFile? File, ImmutableArray<FileFault> Faults);

/// <summary>A JSON or YAML file of agent.v1.Snapshot, which remembers the place of each of its parts.</summary>
internal sealed class PolicyFile
{
    /// <summary>How the codes end of references that lead nowhere.</summary>
    private const string NotFound = ".NotFound";

    private static readonly UTF8Encoding Strict =
        new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly Node root;
    private readonly Lazy<Dictionary<string, Place>> places;

    private PolicyFile(string name, Node root, Snapshot message)
    {
        Name = name;
        this.root = root;
        Message = message;
        places = new Lazy<Dictionary<string, Place>>(FindPlaces);
    }

    /// <summary>As the person named it.</summary>
    public string Name { get; }

    public Snapshot Message { get; }

    /// <summary>Reads a file's bytes.</summary>
    /// <param name="name">".json", ".yaml" and ".yml" decide the format; otherwise the first character does.</param>
    /// <param name="bytes">UTF-8.</param>
    public static PolicyFileResult Read(string name, byte[] bytes)
    {
        try
        {
            Node root = Parse(name, bytes);
            return root is Scalar { Kind: ScalarKind.Null }
                ? Failed(
                    new Place(1, 1), "the file is empty",
                    "Write a policy; {} is the policy that has nothing in it.")
                : FromNode(name, root);
        }
        catch (MalformedTextException e)
        {
            return Failed(e.At, e.Message, e.Remedy);
        }
    }

    /// <summary>Where the path of a fault is in the file, or what is nearest above it.</summary>
    public Place? Locate(string path)
    {
        for (string? at = path; at is not null; at = Trail.Above(at))
        {
            if (places.Value.TryGetValue(at, out Place place))
            {
                return place;
            }
        }

        return null;
    }

    /// <summary>The agent's faults are about this file's lines.</summary>
    public FileFault Place(PolicyFault fault) => new(
        Locate(fault.Path), fault.Code.EndsWith(NotFound, StringComparison.Ordinal)
            && Quoted(fault.Message) is { } wrong && Spelling.Nearest(wrong, Ids()) is { } near
            ? fault with { Remedy = $"Did you mean {near}? {fault.Remedy}" } : fault);

    /// <summary>What a reference of the file may name.</summary>
    private IEnumerable<string> Ids() => Message.Groups.Select(group => group.Id)
        .Concat(Message.PrefixLists.Select(list => list.Id)).Concat(Message.PortLists.Select(list => list.Id));

    private static string? Quoted(string message) => message.Split('\'') is [_, { Length: > 0 } word, ..] ? word : null;

    private static PolicyFileResult FromNode(string name, Node root)
    {
        (Snapshot? message, ImmutableArray<FileFault> faults) = MessageDocument.Read<Snapshot>(root);
        return new PolicyFileResult(message is null ? null : new PolicyFile(name, root, message), faults);
    }

    /// <summary>Any JSON or YAML, whatever it is about.</summary>
    /// <param name="name">".json", ".yaml" and ".yml" decide the format; otherwise the first character does.</param>
    /// <param name="bytes">UTF-8; nothing in it is null.</param>
    /// <exception cref="MalformedTextException">It is neither.</exception>
    public static Node Parse(string name, byte[] bytes)
    {
        ReadOnlySpan<byte> content = bytes;
        if (content.StartsWith(Encoding.UTF8.Preamble))
        {
            content = content[Encoding.UTF8.Preamble.Length..];
        }

        string text;
        try
        {
            text = Strict.GetString(content);
        }
        catch (DecoderFallbackException e)
        {
            int before = Math.Max(0, e.Index);
            throw new MalformedTextException(
                new Place(content[..before].Count((byte)'\n') + 1, before - content[..before].LastIndexOf((byte)'\n')),
                "this is not UTF-8 text", "Save the file as UTF-8.");
        }

        if (string.IsNullOrWhiteSpace(text))
        {
            return new Scalar(new Place(1, 1), "", ScalarKind.Null);
        }

        bool json = Path.GetExtension(name).ToUpperInvariant() switch
        {
            ".JSON" => true,
            ".YAML" or ".YML" => false,
            _ => text.AsSpan().TrimStart()[0] == '{',
        };
        return json ? JsonNodes.Read(content) : YamlNodes.Read(text);
    }

    private static PolicyFileResult Failed(Place at, string message, string remedy) =>
        new(null, [MessageDocument.Fault(at, message, remedy)]);

    private Dictionary<string, Place> FindPlaces()
    {
        var found = new Dictionary<string, Place>(StringComparer.Ordinal);
        using var nowhere = new Utf8JsonWriter(Stream.Null);
        new SchemaReader(nowhere) { OnValue = (trail, place) => found.TryAdd(trail.ToString(), place) }
            .Message(Trail.Root, Snapshot.Descriptor, root);
        return found;
    }
}
