using System.Globalization;
using Agent.Policy;

namespace Agent.Daemon.Ownership;

/// <summary>Why a claim is refused.</summary>
internal enum LeaseRefusal
{
    /// <summary>Another controller has a term that is not older.</summary>
    Stale,

    /// <summary>A claim without a term, and somebody holds the lease.</summary>
    Held,

    /// <summary>It is not known which terms there were.</summary>
    Unknown,

    /// <summary>The new term cannot be written down, and would be forgotten.</summary>
    Unsaved,

    /// <summary>The claim makes no sense.</summary>
    Invalid,
}

/// <summary>What becomes of a claim.</summary>
internal abstract record LeaseAnswer
{
    private LeaseAnswer()
    {
    }

    /// <param name="Lease">What holds from now on.</param>
    /// <param name="Claim">With the term that it got.</param>
    public sealed record Granted(Lease Lease, Claim Claim) : LeaseAnswer
    {
        /// <summary>Somebody else holds the lease.</summary>
        public bool IsOverride { get; init; }
    }

    public sealed record Refused(LeaseRefusal Reason, PolicyFault Fault) : LeaseAnswer;
}

/// <summary>
/// Who may change what is enforced: the controller with the highest term that was ever seen. A term only grows, so that
/// whoever was replaced is refused, however late its changes arrive. Nobody has to be asked for a takeover.
/// </summary>
/// <remarks>
/// A lease that is not held keeps out nobody but older terms. Times are of one monotonic clock.
/// </remarks>
/// <param name="Term">The highest; 0: none yet.</param>
/// <param name="Holder">The controller that has it.</param>
internal sealed record Lease(ulong Term, string Holder)
{
    /// <summary>What the counters of stores such as etcd fit in; acquired terms stay below the next power.</summary>
    public const ulong TermMax = long.MaxValue;

    private const int NameMax = 256;

    /// <summary>Nobody ever came with a term.</summary>
    public static readonly Lease None = new(0, "");

    /// <summary>Why the terms that there were are not known; null: they are.</summary>
    public string? Damage { get; init; }

    /// <summary>Streams of the holder that are open.</summary>
    public int Streams { get; init; }

    /// <summary>When it is not held any more, if no stream is open then.</summary>
    public TimeSpan FreeAt { get; init; }

    public bool IsHeld(TimeSpan now) => Damage is not null || Streams > 0 || now < FreeAt;

    /// <summary>May this claim change what is enforced? A newer term takes over.</summary>
    /// <param name="claim">Who asks.</param>
    /// <param name="now">Monotonic.</param>
    /// <param name="life">How long a holder that is not heard any more holds it.</param>
    public LeaseAnswer Judge(Claim claim, TimeSpan now, TimeSpan life)
    {
        if (claim.Overrides)
        {
            return new LeaseAnswer.Granted(this, claim) { IsOverride = IsHeld(now) };
        }

        if (Malformed(claim) is { } fault)
        {
            return new LeaseAnswer.Refused(LeaseRefusal.Invalid, fault);
        }

        if (Damage is not null)
        {
            return new LeaseAnswer.Refused(LeaseRefusal.Unknown, new PolicyFault("term", "LeaseUnknown",
                $"an older controller could not be told from a newer one: {Damage}",
                "When no controller but the right one is left, remove the file and restart the agent; a person may"
                    + " override this (sgctl apply --override-lease)."));
        }

        if (claim is { Term: 0 } && IsHeld(now) && !(claim.Acquires && claim.Controller == Holder))
        {
            return new LeaseAnswer.Refused(LeaseRefusal.Held, HeldFault(now));
        }

        ulong term = claim.Acquires ? Term + 1 : claim.Term;
        if (term > TermMax)
        {
            return new LeaseAnswer.Refused(LeaseRefusal.Invalid, new PolicyFault("term", "InvalidTerm",
                $"term {term} is above {TermMax}", "Take terms from a counter that grows by one at a time."));
        }

        if (term == 0)
        {
            return new LeaseAnswer.Granted(this, claim);
        }

        if (term < Term || (term == Term && claim.Controller != Holder))
        {
            return new LeaseAnswer.Refused(LeaseRefusal.Stale, new PolicyFault("term", "StaleTerm",
                $"term {term} of {claim.Controller} is not newer than {Term}, which {Holder} has",
                "Send nothing more: be elected again, and come back with a greater term."));
        }

        Lease next = term > Term ? new Lease(term, claim.Controller) : this;
        return new LeaseAnswer.Granted(
            next with { FreeAt = now + life }, claim with { Term = term, Acquires = false });
    }

    /// <summary>A stream of its holder was opened.</summary>
    public Lease Opened() => this with { Streams = Streams + 1 };

    /// <summary>A stream was closed that had been opened with this term.</summary>
    public Lease Closed(ulong term, TimeSpan now, TimeSpan life) =>
        term == Term && Streams > 0 ? this with { Streams = Streams - 1, FreeAt = now + life } : this;

    private PolicyFault HeldFault(TimeSpan now)
    {
        double seconds = Math.Ceiling((FreeAt - now).TotalSeconds);
        string rest = Streams > 0 ? "and is connected"
            : string.Create(CultureInfo.InvariantCulture, $"for {seconds} s more unless it comes back");
        return new PolicyFault("writer", "LeaseHeld", $"{Holder} holds the lease with term {Term}, {rest}",
            "Change the policy where it comes from, or wait. A person may override the lease (sgctl apply"
                + " --override-lease); the holder's next snapshot takes that back.");
    }

    private static PolicyFault? Malformed(Claim claim) =>
        claim.Acquires && claim.Term > 0 ? new PolicyFault("acquire", "InvalidTerm",
            "a term, and the wish to be given one", "Set one of the two.")
        : claim.Controller.Length > NameMax || claim.Controller.Any(char.IsControl)
            || (claim.Controller.Length == 0 && (claim.Acquires || claim.Term > 0))
            ? new PolicyFault("controller", "InvalidText",
                $"whoever has a term has a name: 1 to {NameMax} characters, none of them a control character",
                "Name the controller so that no two have the same name.")
        : null;
}
