using System.Threading.Channels;
using Agent.Netlink.Route;

namespace Agent.KernelTests.Nftables;

public class LinkMonitorTests
{
    public LinkMonitorTests() => Namespace.MustBeThrowaway();

    [Fact]
    public async Task Links_are_listed_and_their_changes_told()
    {
        CancellationToken cancel = TestContext.Current.CancellationToken;
        var events = Channel.CreateUnbounded<LinkEvent>();
        using (LinkMonitor.Start(events.Writer, cancel))
        {
            Namespace.Run("ip", "link add sgbr0 type bridge");
            Namespace.Run("ip", "link add sgv0 address 02:00:00:00:00:07 type veth peer name sgv1");
            Namespace.Run("ip", "link set sgv0 up master sgbr0");
            IReadOnlyList<LinkState> links = LinkMonitor.ReadAll();
            LinkState bridge = Assert.Single(links, link => link.Name == "sgbr0");
            LinkState veth = Assert.Single(links, link => link.Name == "sgv0");
            Assert.Equal("bridge", bridge.Kind);
            Assert.Equal("veth", veth.Kind);
            Assert.Equal(0x020000000007ul, veth.Mac);
            Assert.Equal(bridge.Index, veth.MasterIndex);
            Assert.True(veth.AdminUp);
            Assert.Null(Assert.Single(links, link => link.Name == "lo").MasterIndex);

            Namespace.Run("ip", "link set sgv0 nomaster");
            Namespace.Run("ip", "link del sgv0");
            var seen = new List<LinkEvent>();
            while (!seen.Contains(new LinkEvent.Deleted(veth.Index, "sgv0")))
            {
                seen.Add(await events.Reader.ReadAsync(cancel));
            }

            Assert.Contains(seen, one => one is LinkEvent.Changed changed && changed.Link.MasterIndex == bridge.Index);

            // Leaving the bridge is a change, not a deletion.
            Assert.Single(seen, one => one is LinkEvent.Deleted { Name: "sgv0" });
        }

        Namespace.Run("ip", "link del sgbr0");
        await events.Reader.Completion.WaitAsync(TimeSpan.FromSeconds(5), cancel)
            .ContinueWith(_ => { }, cancel, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    /// <summary>The kernel takes any bytes for a name. Whoever gives such a one hides no other device.</summary>
    [Fact]
    public async Task A_device_whose_name_is_no_text_is_as_one_that_is_gone()
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(30));
        CancellationToken cancel = limit.Token;
        var events = Channel.CreateUnbounded<LinkEvent>();
        Namespace.Run("ip", "link add sgv0 type veth peer name sgv1");
        int index = Assert.Single(LinkMonitor.ReadAll(), link => link.Name == "sgv0").Index;
        using (LinkMonitor.Start(events.Writer, cancel))
        {
            Namespace.Run("sh", "-c \"ip link set sgv0 name $(printf 'sg\\351')\"");
            while (await events.Reader.ReadAsync(cancel) != new LinkEvent.Deleted(index, "sg\\xe9"))
            {
                // of the other end
            }

            IReadOnlyList<LinkState> links = LinkMonitor.ReadAll();
            Assert.DoesNotContain(links, link => link.Index == index);
            Assert.Contains(links, link => link.Name == "sgv1");
        }

        Namespace.Run("ip", "link del sgv1");
    }
}
