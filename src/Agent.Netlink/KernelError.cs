using System.Globalization;
using System.Runtime.InteropServices;

namespace Agent.Netlink;

/// <summary>A refusal by the kernel: NLMSG_ERROR with its extended ack.</summary>
/// <param name="Errno">asm-generic/errno.h, positive.</param>
/// <param name="Text">The extended ack's text; rare in nf_tables.</param>
/// <param name="Offset">Bytes from the request's message header to the attribute at fault.</param>
/// <param name="Sequence">Of the request.</param>
public sealed record KernelError(int Errno, string? Text = null, uint? Offset = null, uint Sequence = 0)
{
    public const int Enoent = 2;
    public const int Eintr = 4;
    public const int Eagain = 11;
    public const int Ebusy = 16;
    public const int Eexist = 17;
    public const int Erestart = 85;
    public const int Emsgsize = 90;
    public const int Enobufs = 105;

    /// <summary>"ENOENT", or "errno 524" for a number without a name here.</summary>
    public string Name => NameOf(Errno);

    public override string ToString() =>
        (Text is null ? Name : $"{Name}: {Text}")
        + (Offset is { } at ? string.Create(CultureInfo.InvariantCulture, $" (at byte {at})") : "");

    /// <summary>Reads the payload of NLMSG_ERROR.</summary>
    /// <returns>Null for an acknowledgement (errno 0).</returns>
    /// <remarks>
    /// <code>
    /// error s32 | nlmsghdr of the request 16 | its payload, unless NLM_F_CAPPED | attributes, if NLM_F_ACK_TLVS
    /// </code>
    /// linux/netlink.h struct nlmsgerr.
    /// </remarks>
    public static KernelError? Read(NlMessage message)
    {
        const int fixedBytes = 4 + NlWriter.MessageHeaderBytes;
        ReadOnlySpan<byte> payload = message.Payload;
        if (payload.Length < fixedBytes)
        {
            NetlinkFormatException.ThrowTruncated("nlmsgerr", fixedBytes, payload.Length);
        }

        int errno = MemoryMarshal.Read<int>(payload);
        uint sequence = MemoryMarshal.Read<uint>(payload[12..]);
        if (errno == 0)
        {
            return null;
        }

        if (errno is > 0 or int.MinValue)
        {
            throw new NetlinkFormatException($"nlmsgerr with error {errno}");
        }

        NetlinkTally.Error(-errno);
        string? text = null;
        uint? offset = null;
        if (message.Flags.HasFlag(NlmFAck.AckTlvs))
        {
            long request = message.Flags.HasFlag(NlmFAck.Capped) ? 0
                : Math.Max(0, MemoryMarshal.Read<uint>(payload[4..]) - (long)NlWriter.MessageHeaderBytes);
            int skipped = (int)Math.Min(fixedBytes + request + 3 & ~3L, payload.Length);
            foreach (NlAttr attr in new NlAttrs(payload[skipped..]))
            {
                switch (attr.Type)
                {
                    case NlmsgerrAttr.Msg: text = attr.Text(); break;
                    case NlmsgerrAttr.Offs: offset = attr.U32Host(); break;
                    default: break; // policy and cookie: advice that changes no decision
                }
            }
        }

        return new KernelError(-errno, text, offset, sequence);
    }

    internal static string NameOf(int errno) => errno switch
    {
        1 => "EPERM",
        2 => "ENOENT",
        4 => "EINTR",
        6 => "ENXIO",
        7 => "E2BIG",
        9 => "EBADF",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        14 => "EFAULT",
        16 => "EBUSY",
        17 => "EEXIST",
        19 => "ENODEV",
        22 => "EINVAL",
        23 => "ENFILE",
        24 => "EMFILE",
        28 => "ENOSPC",
        31 => "EMLINK",
        33 => "EDOM",
        34 => "ERANGE",
        36 => "ENAMETOOLONG",
        40 => "ELOOP",
        71 => "EPROTO",
        75 => "EOVERFLOW",
        85 => "ERESTART",
        90 => "EMSGSIZE",
        93 => "EPROTONOSUPPORT",
        95 => "EOPNOTSUPP",
        97 => "EAFNOSUPPORT",
        98 => "EADDRINUSE",
        100 => "ENETDOWN",
        105 => "ENOBUFS",
        110 => "ETIMEDOUT",
        _ => string.Create(CultureInfo.InvariantCulture, $"errno {errno}"),
    };
}

/// <summary>A system call on a netlink socket, or a request that had to work, failed.</summary>
public sealed class NetlinkException(string operation, KernelError error)
    : Exception($"{operation}: {error}")
{
    public string Operation { get; } = operation;

    public KernelError Error { get; } = error;
}
