namespace Agent.Compiler;

/// <summary>Object names that nft can read back: letters, digits, '_', '-' and '.', at most 31 bytes.</summary>
internal static class Names
{
    /// <summary>The interface's name where nft's grammar takes it, otherwise a hash of it.</summary>
    public static string OfInterface(string name) =>
        name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-' or '.') ? name : "x_" + StableHash.Name(name);
}
