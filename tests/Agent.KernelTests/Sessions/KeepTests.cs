using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Sessions;

/// <summary><c>on_change = keep</c> (semantics.md 9.2): rules speak of new sessions only.</summary>
public sealed class KeepTests(KeepingLab lab) : IClassFixture<KeepingLab>
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Live_sessions_outlive_their_permission_but_not_their_vnic(bool v4)
    {
        await lab.ApplyAsync(SessionLab.CallsInto("in 1 accept tcp 22/22 0.0.0.0/0", "in 1 accept tcp 22/22 ::/0"));
        using TcpStream stream = await SessionLab.ConnectAsync(lab.E1, lab.E2, v4);
        (Accepted answer, _) = await lab.ApplyAsync(SessionLab.CallsInto());
        Assert.False(answer.Changes.SessionsRevalidated);
        Assert.True(await stream.ServerSendsAsync(Probe.PassWait));
        Assert.True(await stream.ClientSendsAsync(Probe.PassWait));
        Assert.False(await Probe.TcpConnectsAsync(
            new TcpRoute(lab.E1, new System.Net.IPEndPoint(v4 ? lab.E2.V4 : lab.E2.V6, 22), lab.E2)));

        Snapshot gone = SessionLab.CallsInto();
        gone.Vnics.RemoveAt(1);
        (answer, _) = await lab.ApplyAsync(gone);
        Assert.True(answer.Changes.SessionsRevalidated);
        Assert.False(await stream.ServerSendsAsync());
        Assert.False(await stream.ClientSendsAsync());
    }
}
