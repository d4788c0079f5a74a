using Agent.Client;
using Agent.Tests.Contract;
using Agent.V1;
using Google.Protobuf;

namespace Agent.Tests.Client;

/// <summary>Which step comes next, whatever was answered or lost before.</summary>
public sealed class SyncPlanTests
{
    private static readonly DesiredState[] States = [.. Enumerable.Range(0, 12).Select(Numbered)];

    private readonly SyncPlan plan = new(window: 3);

    [Fact]
    public void To_an_agent_that_holds_something_unknown_a_snapshot_goes_first()
    {
        Connect(held: null);
        plan.Want(States[1]);
        Assert.Equal((null, States[1]), plan.Next());
        Send(States[1]);
        Assert.True(plan.AwaitsSnapshot);
        Assert.Null(plan.Next().To);
        plan.Want(States[2]);
        Assert.Equal((States[1], States[2]), plan.Next());
        Accept(States[1]);
        Assert.False(plan.AwaitsSnapshot);
        Assert.Equal((States[1], States[2]), plan.Next());
    }

    [Fact]
    public void An_agent_that_holds_what_is_wanted_gets_nothing()
    {
        plan.Want(States[1]);
        Connect(States[1]);
        Assert.Null(plan.Next().To);
        Assert.True(plan.IsSynced);
    }

    [Fact]
    public void The_same_content_under_another_revision_is_a_base()
    {
        plan.Want(States[3]);
        plan.Connected(2, States[3].Hash);
        (DesiredState? from, DesiredState? to) = plan.Next();
        Assert.Equal((2ul, States[3].Hash, States[3]), (from!.Revision, from.Hash, to));
    }

    [Fact]
    public void Deltas_go_out_up_to_the_window_and_of_the_rest_the_newest()
    {
        plan.Want(States[0]);
        Connect(States[0]);
        for (int i = 1; i <= 3; i++)
        {
            plan.Want(States[i]);
            Assert.Equal((States[i - 1], States[i]), plan.Next());
            Send(States[i]);
        }

        plan.Want(States[4]);
        plan.Want(States[5]);
        plan.Want(States[6]);
        Assert.Null(plan.Next().To);
        Accept(States[1]);
        Assert.Equal((States[3], States[6]), plan.Next());
        Assert.False(plan.TrySend(States[2], new Step(States[6], IsSnapshot: false)));
    }

    [Fact]
    public void A_refusal_takes_the_steps_behind_it_along_and_the_newest_is_tried_from_what_is_held()
    {
        plan.Want(States[0]);
        Connect(States[0]);
        foreach (DesiredState state in States[1..4])
        {
            plan.Want(state);
            Send(state);
        }

        Accept(States[1]);
        Assert.Equal(RefusalKind.Final, Refuse(held: States[1], "LimitExceeded").Kind);
        Assert.Null(plan.Next().To);
        Assert.Equal(RefusalKind.Consequence, Refuse(held: States[1], "StaleBaseRevision").Kind);
        Assert.Equal((States[1], States[3]), plan.Next());
    }

    [Fact]
    public void A_refused_state_is_not_sent_again_until_one_is_wanted_anew()
    {
        plan.Want(States[0]);
        Connect(States[0]);
        plan.Want(States[1]);
        Send(States[1]);
        Assert.Equal(RefusalKind.Final, Refuse(held: States[0], "LimitExceeded", "InvalidMac").Kind);
        Assert.Null(plan.Next().To);
        plan.Lost();
        Connect(States[0]);
        Assert.Null(plan.Next().To);
        plan.Want(States[1]);
        Assert.Equal(States[1], plan.Next().To);
        plan.Want(States[2]);
        Assert.Equal((States[0], States[2]), plan.Next());
    }

    [Fact]
    public void Whichever_of_the_steps_under_way_came_through_it_is_a_base_after_a_loss()
    {
        for (int through = 0; through <= 3; through++)
        {
            var fresh = new SyncPlan(window: 3);
            fresh.Want(States[0]);
            fresh.Connected(States[0].Revision, States[0].Hash);
            foreach (DesiredState state in States[1..4])
            {
                fresh.Want(state);
                Assert.True(fresh.TrySend(fresh.Next().From, new Step(state, IsSnapshot: false)));
            }

            fresh.Lost();
            fresh.Lost(); // tried in vain meanwhile
            fresh.Want(States[9]);
            fresh.Connected(States[through].Revision, States[through].Hash);
            Assert.True(fresh.KnowsHeld);
            (DesiredState? from, DesiredState? to) = fresh.Next();
            Assert.True(from!.Is(States[through]));
            Assert.Equal(States[9], to);
        }
    }

    [Fact]
    public void Where_somebody_else_wrote_the_next_step_is_a_snapshot()
    {
        plan.Want(States[0]);
        Connect(States[0]);
        plan.Want(States[5]);
        Send(States[5]);
        Assert.Equal(RefusalKind.Overtaken, Refuse(held: States[2], "StaleBaseRevision").Kind);
        Assert.Equal((null, States[5]), plan.Next());
    }

    [Fact]
    public void What_may_pass_later_is_no_verdict()
    {
        plan.Want(States[0]);
        Connect(States[0]);
        plan.Want(States[1]);
        Send(States[1]);
        Assert.Equal(RefusalKind.Passing, Refuse(held: States[0], "NotPersisted").Kind);
        Assert.Equal((States[0], States[1]), plan.Next());
    }

    [Fact]
    public void An_answer_that_fits_no_step_ends_the_talk()
    {
        plan.Want(States[0]);
        Connect(held: null);
        Assert.Throws<UnexpectedAnswerException>(() => Accept(States[0]));
        Assert.Throws<UnexpectedAnswerException>(() => Refuse(States[0], "x"));
        Send(States[0]);
        Assert.Throws<UnexpectedAnswerException>(() => plan.Accept(
            new Accepted { Revision = States[0].Revision, StateHash = States[1].Hash }));
    }

    [Fact]
    public void An_older_state_is_never_wanted_again()
    {
        plan.Want(States[3]);
        plan.Want(States[3].At(States[3].Revision));
        Assert.Throws<ArgumentException>(() => plan.Want(States[2]));
        Assert.Throws<ArgumentException>(() => plan.Want(States[2].At(States[3].Revision)));
        Assert.Equal(States[3], plan.Wanted);
    }

    private static DesiredState Numbered(int number)
    {
        Snapshot state = Messages.Valid();
        state.Revision = (ulong)(10 + number);
        state.Group("web").Description = $"number {number}";
        return DesiredState.Of(state);
    }

    private void Connect(DesiredState? held) =>
        plan.Connected(held?.Revision ?? 1, held?.Hash ?? ByteString.CopyFromUtf8("unknown"));

    private void Send(DesiredState state)
    {
        (DesiredState? from, DesiredState? to) = plan.Next();
        Assert.Equal(state, to);
        Assert.True(plan.TrySend(from, new Step(state, from is null)));
    }

    private void Accept(DesiredState state) =>
        plan.Accept(new Accepted { Revision = state.Revision, StateHash = state.Hash });

    private (Step Step, RefusalKind Kind) Refuse(DesiredState held, params string[] codes) => plan.Refuse(new Refused
    {
        HeldRevision = held.Revision,
        HeldStateHash = held.Hash,
        Faults = { codes.Select(code => new Fault { Code = code }) },
    });
}
