using System.Collections.Concurrent;
using Agent.Client;
using Agent.KernelTests.Daemon;
using Agent.TestNet;

namespace Agent.KernelTests.Controllers;

/// <summary>A stream of the client library to a real agent, and everything that it said.</summary>
internal sealed class ControllerStream : IAsyncDisposable
{
    private readonly ConcurrentQueue<StreamState> states = new();

    private ControllerStream(AgentAddress address, Func<PolicyStreamOptions, PolicyStreamOptions>? alter)
    {
        var options = new PolicyStreamOptions
        {
            Controller = "test",
            MaxDelay = TimeSpan.FromMilliseconds(500),
            OnState = states.Enqueue,
        };
        Stream = PolicyStream.Open(address, alter?.Invoke(options) ?? options);
    }

    public PolicyStream Stream { get; }

    public IReadOnlyCollection<StreamState> States => states;

    public static ControllerStream Open(
        DaemonLab lab, Func<PolicyStreamOptions, PolicyStreamOptions>? alter = null) =>
        Open(new AgentAddress.Unix(lab.Daemon.SocketPath), alter);

    public static ControllerStream Open(
        AgentAddress address, Func<PolicyStreamOptions, PolicyStreamOptions>? alter = null) => new(address, alter);

    public async Task<StepOutcome.Accepted> AcceptedAsync(DesiredState state)
    {
        StepOutcome outcome = await ApplyAsync(state);
        return outcome as StepOutcome.Accepted ?? throw new InvalidOperationException($"{outcome}");
    }

    public async Task<StepOutcome.Refused> RefusedAsync(DesiredState state) =>
        Assert.IsType<StepOutcome.Refused>(await ApplyAsync(state));

    public async Task<StepOutcome> ApplyAsync(DesiredState state)
    {
        using CancellationTokenSource limit = new(Pace.Scaled(TimeSpan.FromSeconds(60)));
        return await Stream.ApplyAsync(state, limit.Token);
    }

    /// <summary>Waits for a state that comes after the first <paramref name="after"/> ones.</summary>
    public async Task<T> ComesAsync<T>(int after, Func<T, bool>? suits = null) where T : StreamState
    {
        T? found = null;
        await DaemonLab.UntilAsync($"a state {typeof(T).Name} after {string.Join("; ", states)}", () =>
            (found = states.Skip(after).OfType<T>().FirstOrDefault(one => suits?.Invoke(one) ?? true)) is not null);
        return found!;
    }

    public ValueTask DisposeAsync() => Stream.DisposeAsync();
}
