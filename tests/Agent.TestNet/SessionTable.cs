using System.Runtime.InteropServices;

namespace Agent.TestNet;

/// <summary>The connection tracking table of a namespace.</summary>
public static unsafe class SessionTable
{
    private const int NetfilterProtocol = 12;
    private const ushort DeleteConntrack = 0x0102;
    private const ushort RequestWithAck = 0x5;
    private const int ErrorOffset = 16;

    [StructLayout(LayoutKind.Sequential)]
    private struct FlushMessage
    {
        public uint Length;
        public ushort Type;
        public ushort Flags;
        public uint Sequence;
        public uint Port;
        public byte Family;
        public byte Version;
        public ushort ResourceId;
    }

    /// <summary>Forgets every session, as if none had ever been: what comes next is new traffic.</summary>
    public static void Flush(NetNamespace place)
    {
        ArgumentNullException.ThrowIfNull(place);
        place.Run(() =>
        {
            int descriptor = LinuxCalls.Require(
                LinuxCalls.OpenSocket(
                    LinuxCalls.NetlinkFamily, LinuxCalls.RawType | LinuxCalls.CloseOnExec, NetfilterProtocol),
                "socket");
            try
            {
                FlushMessage message = new()
                {
                    Length = (uint)sizeof(FlushMessage),
                    Type = DeleteConntrack,
                    Flags = RequestWithAck,
                    Sequence = 1,
                };
                LinuxCalls.Require((int)LinuxCalls.Send(descriptor, &message, message.Length, 0), "send");
                byte* answer = stackalloc byte[4096];
                nint count = LinuxCalls.ReceiveFrom(descriptor, answer, 4096, 0, null, null);
                LinuxCalls.Require((int)count, "receive");
                int error = *(int*)(answer + ErrorOffset);
                if (error != 0)
                {
                    throw new InvalidOperationException($"conntrack flush: error {-error}");
                }
            }
            finally
            {
                _ = LinuxCalls.Close(descriptor);
            }
        });
    }

    /// <summary>How many sessions the table holds.</summary>
    public static int Count(NetNamespace place)
    {
        ArgumentNullException.ThrowIfNull(place);
        return int.Parse(
            place.ReadSysctl("net/netfilter/nf_conntrack_count"), System.Globalization.CultureInfo.InvariantCulture);
    }
}
