using System.Collections.Immutable;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Agent.Netlink;

/// <summary>Who connected a Unix socket, as the kernel noted it when he did: he cannot claim to be another.</summary>
/// <param name="ProcessId">0: of another process namespace.</param>
/// <param name="UserId">Effective user.</param>
/// <param name="GroupIds">Effective group and supplementary ones.</param>
public sealed record PeerCredentials(int ProcessId, uint UserId, ImmutableArray<uint> GroupIds)
{
    /// <summary>asm-generic/socket.h.</summary>
    private const int SolSocket = 1;
    private const int SoPeercred = 17;
    private const int SoPeergroups = 59;

    /// <summary>linux/limits.h, NGROUPS_MAX.</summary>
    private const int GroupsMax = 65536;

    /// <exception cref="SocketException">It is no connected Unix socket.</exception>
    public static PeerCredentials Of(Socket socket)
    {
        ArgumentNullException.ThrowIfNull(socket);
        Span<byte> ucred = stackalloc byte[12]; // linux/socket.h, struct ucred: pid, uid, gid, 4 bytes each
        socket.GetRawSocketOption(SolSocket, SoPeercred, ucred);
        uint group = MemoryMarshal.Read<uint>(ucred[8..]);
        return new PeerCredentials(
            MemoryMarshal.Read<int>(ucred), MemoryMarshal.Read<uint>(ucred[4..]), [group, .. Supplementary(socket)]);
    }

    // ERANGE says that there are more, and .NET does not hand on how many.
    private static uint[] Supplementary(Socket socket)
    {
        for (int room = 64; ; room = GroupsMax)
        {
            var groups = new byte[room * sizeof(uint)];
            try
            {
                int length = socket.GetRawSocketOption(SolSocket, SoPeergroups, groups);
                return MemoryMarshal.Cast<byte, uint>(groups.AsSpan(0, length)).ToArray();
            }
            catch (SocketException) when (room < GroupsMax)
            {
            }
        }
    }
}
