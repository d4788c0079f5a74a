namespace Agent.Daemon.Access;

/// <summary>Why a client was turned away.</summary>
internal enum Refusal
{
    /// <summary>It came to no TLS session: garbage, an old version, too slow.</summary>
    Handshake,

    /// <summary>No certificate, or one that our authority did not sign for clients, or that is not valid now.</summary>
    Certificate,

    /// <summary>Nobody who is named in a list.</summary>
    Identity,

    /// <summary>His role does not allow the method.</summary>
    Role,

    /// <summary>A message larger than the method takes.</summary>
    MessageSize,

    /// <summary>Too many connections.</summary>
    Connections,

    /// <summary>Too many calls at a time.</summary>
    Calls,

    /// <summary>Too many calls in too short a time.</summary>
    Rate,

    /// <summary>A snapshot that was begun and did not end, or an answer that nobody takes.</summary>
    Timeout,
}

/// <summary>Counts what was refused, and says so, but not as often as a stranger wants.</summary>
internal sealed class Refusals(AccessMetrics metrics, TimeProvider time, ILogger log)
{
    /// <summary>Between two lines about the same reason.</summary>
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(10);

    private readonly Lock gate = new();
    private readonly Dictionary<Refusal, (long SaidAt, long Unsaid)> said = [];

    /// <param name="listener">Where: tcp, socket, metrics.</param>
    /// <param name="reason">Why.</param>
    /// <param name="detail">Who, and what he wanted.</param>
    public void Add(string listener, Refusal reason, string detail)
    {
        metrics.Refused(listener, reason);
        long more = 0;
        lock (gate)
        {
            if (said.TryGetValue(reason, out (long SaidAt, long Unsaid) last)
                && time.GetElapsedTime(last.SaidAt) < Silence)
            {
                said[reason] = (last.SaidAt, last.Unsaid + 1);
                return;
            }

            more = last.Unsaid;
            said[reason] = (time.GetTimestamp(), 0);
        }

        log.ClientRefused(reason, listener, detail, more);
    }
}
