using Agent.TestNet;

namespace Agent.Tests.Fuzz;

/// <summary>What fuzzing begins with, in the folder beside this file.</summary>
/// <remarks>
/// <code>
/// written/     what our own encoders make: `make man` writes it anew, and a test compares
/// documents/   what people and clouds write
/// </code>
/// A file belongs to the target whose name it has up to the first '.' or '-'. In a .hex file each line is an input:
/// its name, a space, its bytes.
/// </remarks>
internal static class Corpus
{
    public const string Folder = "tests/Agent.Tests/Fuzz/corpus";

    public static IReadOnlyList<byte[]> Of(string target)
    {
        byte[][] inputs =
        [
            .. Directory.EnumerateFiles(
                    Path.Combine(BuiltProgram.RepositoryRoot(), Folder), "*", SearchOption.AllDirectories)
                .Where(file => Path.GetFileName(file).Split('.', '-')[0] == target)
                .Order(StringComparer.Ordinal)
                .SelectMany(Inputs),
        ];
        Assert.NotEmpty(inputs);
        return inputs;
    }

    public static string Hex(IEnumerable<(string Name, byte[] Bytes)> inputs) => string.Concat(
        inputs.Select(one => $"{one.Name.Replace(' ', '_')} {Convert.ToHexStringLower(one.Bytes)}\n"));

    private static IEnumerable<byte[]> Inputs(string file) => file.EndsWith(".hex", StringComparison.Ordinal)
        ? File.ReadLines(file).Select(line => Convert.FromHexString(line.Split(' ')[1])) : [File.ReadAllBytes(file)];
}
