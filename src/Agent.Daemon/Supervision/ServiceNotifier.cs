using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Agent.Daemon.Supervision;

/// <summary>
/// Whoever started the daemon and wants to know how it is: systemd, or nobody. Datagrams of VARIABLE=VALUE lines to the
/// socket of $NOTIFY_SOCKET, as sd_notify(3) says.
/// </summary>
internal sealed class ServiceNotifier : IDisposable
{
    /// <summary>A manager that does not read must not hold up the daemon.</summary>
    private const int SendTimeoutMs = 2000;

    /// <summary>Longer ones are cut: it is one line for people.</summary>
    private const int StatusMax = 400;

    private readonly Socket? socket;
    private readonly UnixDomainSocketEndPoint? end;
    private readonly TimeProvider clock;

    /// <param name="path">A path, or '@' and an abstract name; null or empty: nobody wants to know.</param>
    /// <param name="watchdog">Within what time it wants to hear that the daemon is alive; null: it does not.</param>
    /// <param name="clock">Monotonic time.</param>
    public ServiceNotifier(string? path, TimeSpan? watchdog, TimeProvider clock)
    {
        (this.clock, Watchdog) = (clock, watchdog);
        if (path is ['@' or '/', _, ..])
        {
            end = new UnixDomainSocketEndPoint(path[0] == '@' ? $"\0{path[1..]}" : path);
            socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified)
            {
                SendTimeout = SendTimeoutMs,
            };
        }
    }

    /// <summary>Somebody listens.</summary>
    public bool IsThere => socket is not null;

    /// <summary>Null: nobody counts on signs of life.</summary>
    public TimeSpan? Watchdog { get; }

    /// <summary>Reads $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID.</summary>
    public static ServiceNotifier Of(Func<string, string?> environment, int processId, TimeProvider clock)
    {
        bool isOurs = environment("WATCHDOG_PID") is not { Length: > 0 } pid
            || pid == processId.ToString(CultureInfo.InvariantCulture);
        TimeSpan? watchdog = isOurs && long.TryParse(environment("WATCHDOG_USEC"), NumberStyles.None,
            CultureInfo.InvariantCulture, out long microseconds) && microseconds > 0
            ? TimeSpan.FromMicroseconds(microseconds) : null;
        return new ServiceNotifier(environment("NOTIFY_SOCKET"), watchdog, clock);
    }

    /// <summary>Started, or done with reading the configuration again.</summary>
    public void Ready() => Send("READY=1");

    /// <summary>Reads the configuration again; <see cref="Ready"/> ends it.</summary>
    public void Reloading() => Send(string.Create(CultureInfo.InvariantCulture,
        $"RELOADING=1\nMONOTONIC_USEC={MonotonicMicroseconds()}"));

    public void Stopping() => Send("STOPPING=1");

    public void Alive() => Send("WATCHDOG=1");

    /// <summary>A start or a stop goes on: it is given so much time from now on.</summary>
    public void Extend(TimeSpan time) => Send(string.Create(
        CultureInfo.InvariantCulture, $"EXTEND_TIMEOUT_USEC={(long)time.TotalMicroseconds}"));

    /// <summary>One line for people, which <c>systemctl status</c> shows.</summary>
    public void Status(string line) => Send(
        $"STATUS={string.Concat(line.Take(StatusMax).Select(c => char.IsControl(c) ? ' ' : c))}");

    public void Dispose() => socket?.Dispose();

    // .NET's timestamps on Linux are CLOCK_MONOTONIC, which is what the manager compares with.
    private long MonotonicMicroseconds() =>
        (long)(clock.GetTimestamp() / (double)clock.TimestampFrequency * 1_000_000);

    private void Send(string text)
    {
        try
        {
            socket?.SendTo(Encoding.UTF8.GetBytes(text), end!);
        }
        catch (SocketException)
        {
            // It is gone, or does not read: what it does not hear it judges by its own times.
        }
    }
}
