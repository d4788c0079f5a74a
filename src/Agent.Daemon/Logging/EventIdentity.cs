using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Agent.Daemon.Logging;

/// <summary>The journal's MESSAGE_ID of an event: the same in every version, and nobody else's.</summary>
/// <remarks>
/// The first 128 bits of SHA-256 of "sg-agent event N", in hexadecimal. packaging/journal/sg-agent.catalog explains
/// them; journalctl -x shows that.
/// </remarks>
internal static class EventIdentity
{
    public static string Of(int eventNumber) => Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(
        string.Create(CultureInfo.InvariantCulture, $"sg-agent event {eventNumber}"))).AsSpan(0, 16));
}
