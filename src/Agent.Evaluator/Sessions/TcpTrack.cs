namespace Agent.Evaluator.Sessions;

/// <summary>States of a TCP session, with the kernel's numbers (linux/netfilter/nf_conntrack_tcp.h).</summary>
public enum TcpState : byte
{
    None = 0,
    SynSent = 1,
    SynRecv = 2,
    Established = 3,
    FinWait = 4,
    CloseWait = 5,
    LastAck = 6,
    TimeWait = 7,
    Close = 8,

    /// <summary>Both ends have sent a SYN, and neither has answered yet.</summary>
    SynSent2 = 9,
}

/// <summary>Which of a segment's flags conntrack goes by: the first of RST, SYN, FIN, ACK that it has.</summary>
public enum TcpKind : byte
{
    Syn,
    SynAck,
    Fin,
    Ack,
    Rst,

    /// <summary>A combination that no TCP sends.</summary>
    Broken,
}

/// <summary>What a segment does to its session.</summary>
internal enum TcpEffect : byte
{
    /// <summary>It takes the session to the state that is given.</summary>
    Moves,

    /// <summary>It passes as one of the session, which stays as it is and is not kept alive by it.</summary>
    Ignored,

    /// <summary>It is not of the session.</summary>
    Invalid,

    /// <summary>The session is over; the segment opens another one with the same tuple.</summary>
    Reopens,
}

/// <summary>What conntrack remembers of a TCP session.</summary>
/// <remarks>
/// The state table of Linux 6.18 (net/netfilter/nf_conntrack_proto_tcp.c) for segments inside the window: a reset has
/// the sequence number that its receiver expects, and a SYN/ACK answers the SYN before it. What is out of the window is
/// invalid to conntrack, and the model does not hear of it.
/// </remarks>
/// <param name="State">The state.</param>
/// <param name="Last">The last segment that belonged to the session.</param>
/// <param name="LastReply">It travelled in reply direction.</param>
/// <param name="Flags">What else is remembered.</param>
public readonly record struct TcpTrack(TcpState State, TcpKind Last, bool LastReply, TcpTrackFlags Flags)
{
    private const string Invalid = "IV";
    private const string Ignored = "IG";
    private const int CellChars = 3;

    private static readonly string[] Columns = ["NO", "SS", "SR", "ES", "FW", "CW", "LA", "TW", "CL", "S2"];

    // Rows: SYN, SYN/ACK, FIN, ACK, RST. Columns: the state before, in the order of Columns. Cells: the state after.
    private static readonly string[] Original =
    [
        "SS SS IG IG IG IG IG SS SS S2",
        "IV IV SR IV IV IV IV IV IV SR",
        "IV IV FW FW LA LA LA TW CL IV",
        "ES IV ES ES CW CW TW TW CL IV",
        "IV CL CL CL CL CL CL CL CL CL",
    ];

    private static readonly string[] Reply =
    [
        "IV S2 IV IV IV IV IV SS IV S2",
        "IV SR IG IG IG IG IG IG IG SR",
        "IV IV FW FW LA LA LA TW CL IV",
        "IV IG SR ES CW CW TW TW CL IG",
        "IV CL CL CL CL CL CL CL CL CL",
    ];

    /// <summary>Before the first segment.</summary>
    public static readonly TcpTrack Start = new(TcpState.None, TcpKind.Broken, LastReply: false, TcpTrackFlags.None);

    public static TcpKind KindOf(TcpFlags flags) => (flags & ~TcpFlags.Psh) switch
    {
        TcpFlags.Syn or (TcpFlags.Syn | TcpFlags.Urg) => TcpKind.Syn,
        TcpFlags.Syn | TcpFlags.Ack => TcpKind.SynAck,
        TcpFlags.Rst or (TcpFlags.Rst | TcpFlags.Ack) => TcpKind.Rst,
        (TcpFlags.Fin | TcpFlags.Ack) or (TcpFlags.Fin | TcpFlags.Ack | TcpFlags.Urg) => TcpKind.Fin,
        TcpFlags.Ack or (TcpFlags.Ack | TcpFlags.Urg) => TcpKind.Ack,
        _ => TcpKind.Broken,
    };

    internal (TcpEffect Effect, TcpTrack After) With(TcpKind kind, bool reply)
    {
        if (kind == TcpKind.Broken)
        {
            return (TcpEffect.Invalid, this);
        }

        string cell = (reply ? Reply : Original)[(int)kind].Substring(CellChars * (int)State, 2);
        if (cell == Invalid)
        {
            return (TcpEffect.Invalid, this);
        }

        if (State == TcpState.Close && !reply && kind is TcpKind.Ack or TcpKind.Fin
            && !Flags.HasFlag(TcpTrackFlags.AnswerHeard))
        {
            return (TcpEffect.Invalid, this); // it acknowledges what was never heard
        }

        if (cell == Ignored)
        {
            // The two ends were in step while we were not: this answers a SYN that was ignored.
            return kind == TcpKind.SynAck && Last == TcpKind.Syn && LastReply != reply
                ? (TcpEffect.Moves, new TcpTrack(TcpState.SynRecv, kind, reply, TcpTrackFlags.AnswerHeard))
                : Ignore(kind, reply);
        }

        var next = (TcpState)Array.IndexOf(Columns, cell);
        if (next == TcpState.SynSent && State >= TcpState.TimeWait)
        {
            // Only a session that was seen to end, or whose own side has reset it, makes room for another.
            bool over = Flags.HasFlag(TcpTrackFlags.FinSeen) || (Last == TcpKind.Rst && LastReply == reply);
            return over ? (TcpEffect.Reopens, this) : Ignore(kind, reply);
        }

        if (next == TcpState.TimeWait && State == TcpState.LastAck && kind == TcpKind.Ack && LastReply != reply
            && Last == TcpKind.Syn && Flags.HasFlag(TcpTrackFlags.ChallengeDue))
        {
            // RFC 5961: the answer to a stray SYN, not to the FIN.
            return (TcpEffect.Ignored, this with { Flags = Flags & ~TcpTrackFlags.ChallengeDue });
        }

        return (TcpEffect.Moves, Move(next, kind, reply));
    }

    private TcpTrack Move(TcpState next, TcpKind kind, bool reply)
    {
        if (next == TcpState.SynRecv && reply && kind == TcpKind.Ack && Flags.HasFlag(TcpTrackFlags.BothOpen))
        {
            next = TcpState.Established;
        }

        // Whoever is picked up in mid-stream is believed. A second reset is not looked at closely any more.
        bool heard = State == TcpState.None ? next != TcpState.SynSent
            : reply && !(kind == TcpKind.Rst && State == TcpState.Close);
        TcpTrackFlags flags = Flags
            | (heard ? TcpTrackFlags.AnswerHeard : TcpTrackFlags.None)
            | (next == TcpState.SynSent2 ? TcpTrackFlags.BothOpen : TcpTrackFlags.None)
            | (next == TcpState.FinWait && State != TcpState.FinWait ? TcpTrackFlags.FinSeen : TcpTrackFlags.None);
        return new TcpTrack(next, kind, reply, flags);
    }

    private (TcpEffect Effect, TcpTrack After) Ignore(TcpKind kind, bool reply)
    {
        TcpTrackFlags flags = Flags;
        if (kind == TcpKind.Syn && !reply)
        {
            flags &= ~(TcpTrackFlags.BothOpen | TcpTrackFlags.ChallengeDue);
            flags |= State == TcpState.LastAck ? TcpTrackFlags.ChallengeDue : TcpTrackFlags.None;
        }

        return (TcpEffect.Ignored, this with { Last = kind, LastReply = reply, Flags = flags });
    }
}

/// <summary>What conntrack remembers of a TCP session besides its state.</summary>
[Flags]
public enum TcpTrackFlags : byte
{
    None = 0,

    /// <summary>One end has begun to close.</summary>
    FinSeen = 1,

    /// <summary>Both ends have sent a SYN.</summary>
    BothOpen = 2,

    /// <summary>The next acknowledgement may be a challenge.</summary>
    ChallengeDue = 4,

    /// <summary>A segment of the end that was called has moved the session.</summary>
    AnswerHeard = 8,
}
