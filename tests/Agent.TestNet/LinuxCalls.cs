using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Agent.TestNet;

/// <summary>The few system calls that the base library does not offer.</summary>
internal static partial class LinuxCalls
{
    internal const int CloneNewNet = 0x40000000;
    internal const int PacketFamily = 17;
    internal const int NetlinkFamily = 16;
    internal const int RawType = 3;
    internal const int CloseOnExec = 0x80000;
    internal const short PollIn = 1;
    internal const int SignalHangUp = 1;
    internal const int SignalTerminate = 15;
    internal const int SignalKill = 9;

    /// <summary>ETH_P_ALL in network byte order.</summary>
    internal const ushort AllProtocols = 0x0300;

    [StructLayout(LayoutKind.Sequential)]
    internal struct PollEntry
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct LinkLayerAddress
    {
        public ushort Family;
        public ushort Protocol;
        public int InterfaceIndex;
        public ushort HardwareType;
        public byte PacketType;
        public byte AddressLength;
        public fixed byte Address[8];
    }

    [LibraryImport("libc", EntryPoint = "setns", SetLastError = true)]
    internal static partial int SetNamespace(int descriptor, int kind);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    internal static partial int Close(int descriptor);

    [LibraryImport("libc", EntryPoint = "socket", SetLastError = true)]
    internal static partial int OpenSocket(int family, int type, int protocol);

    [LibraryImport("libc", EntryPoint = "bind", SetLastError = true)]
    internal static unsafe partial int Bind(int descriptor, void* address, uint length);

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    internal static unsafe partial nint Send(int descriptor, void* data, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "recvfrom", SetLastError = true)]
    internal static unsafe partial nint ReceiveFrom(
        int descriptor, void* data, nuint length, int flags, LinkLayerAddress* address, uint* addressLength);

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    internal static unsafe partial int Poll(PollEntry* entries, nuint count, int milliseconds);

    [LibraryImport(
        "libc", EntryPoint = "if_nametoindex", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial uint InterfaceIndex(string name);

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    internal static partial int Kill(int process, int signal);

    [LibraryImport("libc", EntryPoint = "sendmmsg", SetLastError = true)]
    internal static unsafe partial int SendMany(int descriptor, void* messages, uint count, int flags);

    // The last is struct sched_param: the priority alone.
    [LibraryImport("libc", EntryPoint = "sched_setscheduler", SetLastError = true)]
    internal static unsafe partial int SetScheduler(int thread, int policy, int* parameters);

    [LibraryImport("libc", EntryPoint = "sched_setaffinity", SetLastError = true)]
    internal static unsafe partial int SetAffinity(int thread, nuint length, void* mask);

    [LibraryImport("libc", EntryPoint = "setsockopt", SetLastError = true)]
    internal static unsafe partial int SetOption(int descriptor, int level, int name, void* value, uint length);

    [LibraryImport("libc", EntryPoint = "getsockopt", SetLastError = true)]
    internal static unsafe partial int GetOption(int descriptor, int level, int name, void* value, uint* length);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int FileControl(int descriptor, int command, int argument);

    /// <summary>Whether the programs that we start get the socket, too: FD_CLOEXEC of fcntl(2), F_SETFD.</summary>
    internal static void SetInherited(System.Net.Sockets.Socket? socket, bool inherited)
    {
        if (socket is not null)
        {
            Require(FileControl((int)socket.Handle, command: 2, inherited ? 0 : 1), "fcntl");
        }
    }

    /// <summary>Throws what the call left in errno if it failed.</summary>
    internal static int Require(int result, string call)
    {
        if (result < 0)
        {
            throw new Win32Exception(Marshal.GetLastPInvokeError(), $"{call}: {Marshal.GetLastPInvokeErrorMessage()}");
        }

        return result;
    }
}
