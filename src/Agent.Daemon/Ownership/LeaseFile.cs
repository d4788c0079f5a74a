using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Agent.Daemon.State;

namespace Agent.Daemon.Ownership;

/// <summary>The highest term and who has it, on disk: a restart must not let an older controller in.</summary>
/// <remarks>
/// <code>
/// sg-agent lease 1
/// term 17
/// controller ctl-a
/// sha256 HEX            of all lines above
/// </code>
/// Replaced as a whole and synced, so a crash leaves the one before. A file that is not whole was damaged by something
/// else; it stays where it is, so that the next start does not take it for none.
/// </remarks>
internal sealed class LeaseFile(IStateDisk disk)
{
    private const string Head = "sg-agent lease 1\n";
    private const string Name = "lease";

    public LeaseFile(string directory)
        : this(new StateDirectory(directory))
    {
    }

    /// <returns>Held by nobody; with <see cref="Lease.Damage"/> if there is a file that makes no sense.</returns>
    public Lease Load()
    {
        try
        {
            return disk.Read(Name) is not { } bytes ? Lease.None : Parse(Encoding.UTF8.GetString(bytes))
                ?? Lease.None with { Damage = $"{disk.PathOf(Name)} is damaged, or of a newer format" };
        }
        catch (Exception e) when (DiskFault.Is(e))
        {
            return Lease.None with { Damage = $"{disk.PathOf(Name)} cannot be read: {e.Message}" };
        }
    }

    /// <exception cref="IOException">What was written before holds, here and after a restart; or nobody knows, if the
    /// directory could not be synced.</exception>
    /// <exception cref="UnauthorizedAccessException">Likewise.</exception>
    public void Save(Lease lease) => WholeFile.Replace(disk, Name, Encoding.UTF8.GetBytes(Format(lease)));

    internal static string Format(Lease lease)
    {
        string text = string.Create(
            CultureInfo.InvariantCulture, $"{Head}term {lease.Term}\ncontroller {lease.Holder}\n");
        return $"{text}sha256 {Hash(text)}\n";
    }

    /// <returns>Null: these are not the bytes that were written.</returns>
    internal static Lease? Parse(string text)
    {
        string[] lines = text.Split('\n');
        return lines.Length == 5 && lines[1].StartsWith("term ", StringComparison.Ordinal)
            && lines[2].StartsWith("controller ", StringComparison.Ordinal)
            && ulong.TryParse(lines[1].AsSpan(5), NumberStyles.None, CultureInfo.InvariantCulture, out ulong term)
            && new Lease(term, lines[2][11..]) is { } lease && Format(lease) == text ? lease : null;
    }

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
}
