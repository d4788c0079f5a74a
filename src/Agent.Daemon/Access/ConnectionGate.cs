using Microsoft.AspNetCore.Connections;

namespace Agent.Daemon.Access;

/// <summary>A client's connection.</summary>
internal sealed class Guest(ConnectionContext connection, ConnectionGate gate)
{
    /// <summary>Null: not known yet; or a listener that asks nobody.</summary>
    public Caller? Caller => Identify?.Invoke();

    /// <summary>Says who it is, and what he may do now.</summary>
    public Func<Caller>? Identify { get; set; }

    /// <summary>Under which name it was counted: what it may do can change, and its name with it.</summary>
    public string AdmittedAs { get; set; } = "";

    /// <summary>It came through the handshake of TLS.</summary>
    public bool IsSecure { get; set; }

    /// <summary>Refused already: nothing is to be said any more when it ends.</summary>
    public bool IsTurnedAway { get; set; }

    public string Listener => gate.Listener;

    /// <summary>Where it stands among those that have not asked anything; null: it has, or it is gone.</summary>
    public LinkedListNode<Guest>? Silent { get; set; }

    /// <summary>Its caller is counted.</summary>
    public bool IsAdmitted { get; set; }

    /// <inheritdoc cref="ConnectionGate.Admit"/>
    public bool Admit() => gate.Admit(this);

    public void End() => connection.Abort(new ConnectionAbortedException("there are too many connections"));
}

/// <summary>
/// Bounds the connections of a listener. Where it is full, the one that has been silent longest gives way: a flood of
/// connections that ask nothing keeps nobody out who asks as soon as he is in.
/// </summary>
/// <param name="listener">Its name.</param>
/// <param name="most">Connections at a time.</param>
/// <param name="mostOfOne">Of one client, that have asked something.</param>
/// <param name="metrics">Shows how many there are.</param>
/// <param name="refusals">Told of those that had to go.</param>
internal sealed class ConnectionGate(
    string listener, int most, int mostOfOne, AccessMetrics metrics, Refusals refusals)
{
    private readonly Lock gate = new();
    private readonly LinkedList<Guest> silent = []; // the oldest first
    private readonly Dictionary<string, int> admitted = new(StringComparer.Ordinal);
    private int open;

    public string Listener => listener;

    public async Task RunAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        var guest = new Guest(connection, this);
        if (!Enter(guest))
        {
            guest.End();
            return;
        }

        metrics.Connected(listener, 1);
        try
        {
            connection.Features.Set(guest);
            await next(connection).ConfigureAwait(false);
        }
        finally
        {
            metrics.Connected(listener, -1);
            Leave(guest);
        }
    }

    /// <summary>It asks something, and may: it gives way to nobody any more.</summary>
    /// <returns>False: its client has too many connections already.</returns>
    public bool Admit(Guest guest)
    {
        lock (gate)
        {
            if (guest.IsAdmitted)
            {
                return true;
            }

            string client = guest.Caller?.Name ?? "";
            int others = admitted.GetValueOrDefault(client);
            if (others >= mostOfOne || guest.Silent is null)
            {
                return false;
            }

            admitted[client] = others + 1;
            (guest.IsAdmitted, guest.AdmittedAs) = (true, client);
            silent.Remove(guest.Silent);
            guest.Silent = null;
            return true;
        }
    }

    private bool Enter(Guest guest)
    {
        Guest? leaves = null;
        bool enters;
        lock (gate)
        {
            if (open >= most && silent.First is { } oldest)
            {
                leaves = oldest.Value;
                leaves.Silent = null;
                leaves.IsTurnedAway = true;
                silent.RemoveFirst();
                open--;
            }

            enters = open < most;
            if (enters)
            {
                open++;
                guest.Silent = silent.AddLast(guest);
            }
        }

        leaves?.End();
        if (leaves is not null || !enters)
        {
            refusals.Add(listener, Refusal.Connections,
                leaves is null ? $"{most} connections are in use" : $"one of {most} connections that asked nothing");
        }

        return enters;
    }

    private void Leave(Guest guest)
    {
        lock (gate)
        {
            if (guest.Silent is not null)
            {
                silent.Remove(guest.Silent);
                guest.Silent = null;
                open--;
            }
            else if (guest.IsAdmitted)
            {
                open--;
                string client = guest.AdmittedAs;
                int others = admitted[client] - 1;
                if (others == 0)
                {
                    admitted.Remove(client);
                }
                else
                {
                    admitted[client] = others;
                }
            }
        }
    }
}
