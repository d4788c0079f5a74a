using System.Collections.Concurrent;

namespace Agent.Netlink;

/// <summary>What went wrong on all netlink sockets of this process, since it began. Any thread may count and read.
/// </summary>
/// <remarks>Some errors are answers, not faults: ENOENT to a look whether something exists, ERESTART to a plan that
/// somebody else's commit has overtaken.</remarks>
public static class NetlinkTally
{
    private static readonly ConcurrentDictionary<int, long> ErrorsByNumber = new();
    private static long overruns;
    private static long receivedBytes;

    /// <summary>Times that the kernel dropped messages for a socket (ENOBUFS on receive).</summary>
    public static long Overruns => Interlocked.Read(ref overruns);

    /// <summary>Refusals of requests, and failed sends, by the name of the error: "ENOENT".</summary>
    public static IEnumerable<(string Name, long Count)> Errors =>
        ErrorsByNumber.Select(pair => (KernelError.NameOf(pair.Key), pair.Value));

    /// <summary>Bytes that the kernel has sent.</summary>
    public static long ReceivedBytes => Interlocked.Read(ref receivedBytes);

    internal static void Received(int bytes) => Interlocked.Add(ref receivedBytes, bytes);

    internal static void Error(int errno) => ErrorsByNumber.AddOrUpdate(errno, 1, (_, count) => count + 1);

    internal static void Overrun() => Interlocked.Increment(ref overruns);
}
