using System.Globalization;

namespace Agent.Netlink;

/// <summary>Users and groups of this host by name, as /etc/passwd and /etc/group have them.</summary>
public static class HostAccounts
{
    /// <returns>Null: there is none.</returns>
    public static uint? UserId(string name) => Find("/etc/passwd", name);

    /// <inheritdoc cref="UserId"/>
    public static uint? GroupId(string name) => Find("/etc/group", name);

    // Both files: NAME:PASSWORD:ID:...
    private static uint? Find(string file, string name)
    {
        string? line = File.ReadLines(file)
            .FirstOrDefault(entry => entry.StartsWith(name + ":", StringComparison.Ordinal));
        return line?.Split(':') is [_, _, string text, ..]
            && uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out uint id) ? id : null;
    }
}
