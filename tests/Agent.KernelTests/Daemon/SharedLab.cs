namespace Agent.KernelTests.Daemon;

/// <summary>One network and one daemon for the tests of a class.</summary>
public sealed class SharedLab : IAsyncLifetime
{
    private DaemonLab? lab;

    internal DaemonLab Lab => lab ?? throw new InvalidOperationException("not initialized");

    public async ValueTask InitializeAsync() => lab = await DaemonLab.StartAsync();

    public async ValueTask DisposeAsync()
    {
        if (lab is not null)
        {
            await lab.DisposeAsync();
        }
    }
}
