using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace Agent.Daemon.Logging;

/// <summary>An entry as journald reads it.</summary>
/// <remarks>
/// One datagram, fields one after the other (systemd.io/JOURNAL_NATIVE_PROTOCOL). A value of one line:
/// <code>NAME=value\n</code>
/// any other value:
/// <code>NAME\n | length, u64, little endian | value | \n</code>
/// </remarks>
internal static class JournalWire
{
    /// <summary>Bytes of a message or an exception; what is longer is cut, and says so.</summary>
    public const int MaxTextBytes = 16 << 10;

    /// <summary>
    /// Bytes of any other field: with all that an event has, a datagram stays under the 208 KiB that a socket sends by
    /// default (net.core.wmem_default), so that no memfd is needed.
    /// </summary>
    public const int MaxValueBytes = 4 << 10;

    public static byte[] Encode(LogEntry entry)
    {
        var bytes = new ArrayBufferWriter<byte>(1024);
        Put(bytes, "MESSAGE", entry.Message, MaxTextBytes);
        Put(bytes, "PRIORITY", PriorityOf(entry.Level), MaxValueBytes);
        Put(bytes, "SYSLOG_IDENTIFIER", EventLog.Ours, MaxValueBytes);
        if (entry.Event.Id != 0)
        {
            Put(bytes, "MESSAGE_ID", EventIdentity.Of(entry.Event.Id), MaxValueBytes);
            Put(bytes, "SG_EVENT", entry.Event.Id.ToString(CultureInfo.InvariantCulture), MaxValueBytes);
            Put(bytes, "SG_EVENT_NAME", entry.Event.Name ?? "", MaxValueBytes);
        }
        else
        {
            Put(bytes, "SG_LIBRARY", entry.Category, MaxValueBytes);
        }

        foreach ((string name, string value) in entry.Fields)
        {
            Put(bytes, name, value, MaxValueBytes);
        }

        Put(bytes, "SG_EXCEPTION", entry.Exception?.ToString() ?? "", MaxTextBytes);
        return bytes.WrittenSpan.ToArray();
    }

    /// <summary>syslog(3): 3 error, 4 warning, 6 informational, 7 debug.</summary>
    public static string PriorityOf(LogLevel level) => level switch
    {
        LogLevel.Critical => "2",
        LogLevel.Error => "3",
        LogLevel.Warning => "4",
        LogLevel.Information => "6",
        _ => "7",
    };

    private static void Put(ArrayBufferWriter<byte> to, string name, string value, int max)
    {
        if (value.Length == 0)
        {
            return;
        }

        byte[] text = Cut(Encoding.UTF8.GetBytes(value), max);
        to.Write(Encoding.ASCII.GetBytes(name));
        if (text.AsSpan().Contains((byte)'\n'))
        {
            to.Write("\n"u8);
            BinaryPrimitives.WriteUInt64LittleEndian(to.GetSpan(sizeof(ulong)), (ulong)text.Length);
            to.Advance(sizeof(ulong));
        }
        else
        {
            to.Write("="u8);
        }

        to.Write(text);
        to.Write("\n"u8);
    }

    private static byte[] Cut(byte[] text, int max)
    {
        if (text.Length <= max)
        {
            return text;
        }

        int end = max;
        while ((text[end] & 0xc0) == 0x80)
        {
            end--; // not within a character
        }

        string mark = string.Create(CultureInfo.InvariantCulture, $"... ({text.Length - end} bytes more)");
        return [.. text.AsSpan(0, end), .. Encoding.ASCII.GetBytes(mark)];
    }
}
