using System.Net;
using Agent.KernelTests.Scenarios;
using Agent.KernelTests.Sessions;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Hosts;

/// <summary>
/// The metadata server can be asked whatever the rules say; nothing else opens by that. DNS is no such thing.
/// </summary>
public sealed class MetadataTests(HostLab lab) : IClassFixture<HostLab>
{
    private const string ResolverV4 = "8.8.8.8";
    private const string ResolverV6 = "2001:db8:ffff::9";

    /// <summary>e1 with these rules and no other way out or in.</summary>
    private static Snapshot Closed(params string[] rules) =>
        States.Apply([States.Advanced("sg-a", rules)], States.Nic("e1", "sg-a")).State.Clone();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_metadata_server_is_reached_and_answers_though_nothing_else_may_leave(bool v4)
    {
        await lab.ApplyAsync(Closed());
        lab.Forget();
        IPAddress server = IPAddress.Parse(v4 ? HostLab.MetadataV4 : HostLab.MetadataV6);
        IPAddress neighbour = IPAddress.Parse(v4 ? "100.100.100.201" : "fd00:ec2::255");
        await lab.Volley.DropAsync(
            lab.E1, lab.Outsider, "tap-e1 from_default", HostLab.Openers(Own(v4), neighbour, 80));
        await lab.Volley.PassAsync(lab.E1, lab.Outsider, [.. HostLab.Openers(Own(v4), server, 80).Skip(1)]);
        Assert.True(await Probe.TcpConnectsAsync(
            new TcpRoute(lab.E1, new IPEndPoint(server, 80), lab.Outsider), Probe.PassWait));
        Assert.True(await Probe.UdpExchangesAsync(
            lab.E1, Own(v4), lab.Outsider, new IPEndPoint(server, PortNumbers.Next()), Probe.PassWait));
        Assert.True(await lab.Lab.Probe.EchoReturnsAsync(lab.E1, Own(v4), server, Probe.PassWait));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_the_metadata_server_sends_unasked_is_judged_by_ingress_rules(bool v4)
    {
        await lab.ApplyAsync(Closed());
        lab.Forget();
        IPAddress server = IPAddress.Parse(v4 ? HostLab.MetadataV4 : HostLab.MetadataV6);
        Shot[] unasked =
        [
            .. HostLab.Openers(server, Own(v4), 5000),
            new("from its port", Packets.Udp(server, Own(v4), 80, 5000, Probe.Payload())),
        ];
        await lab.Volley.DropAsync(lab.Outsider, lab.E1, "tap-e1 to_default", unasked);
        await lab.ApplyAsync(Closed($"in 1 accept udp 5000/5000 {AddressPlan.Host(server.ToString())}"));
        await lab.Volley.PassAsync(lab.Outsider, lab.E1, [.. unasked.Where(shot => shot.Packet[v4 ? 9 : 6] == 17)]);
        await lab.Volley.DropAsync(
            lab.Outsider, lab.E1, "tap-e1 to_default", [.. unasked.Where(shot => shot.Packet[v4 ? 9 : 6] != 17)]);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_session_with_it_outlives_a_revocation_even_if_the_server_speaks_first(bool v4)
    {
        string everything = v4 ? "out 1 accept all -1/-1 0.0.0.0/0" : "out 1 accept all -1/-1 ::/0";
        await lab.ApplyAsync(Closed(everything));
        IPAddress server = IPAddress.Parse(v4 ? HostLab.MetadataV4 : HostLab.MetadataV6);
        IPAddress other = IPAddress.Parse(v4 ? HostLab.StrangerV4 : HostLab.StrangerV6);
        using UdpConversation talk = UdpConversation.Open(
            lab.E1, Own(v4), lab.Outsider, new IPEndPoint(server, PortNumbers.Next()));
        using UdpConversation cut = UdpConversation.Open(
            lab.E1, Own(v4), lab.Outsider, new IPEndPoint(other, PortNumbers.Next()));
        Assert.True(await talk.ClientSendsAsync(Probe.PassWait) && await cut.ClientSendsAsync(Probe.PassWait));
        (Accepted answer, _) = await lab.ApplyAsync(Closed());
        Assert.True(answer.Changes.SessionsRevalidated);
        Assert.True(await talk.ServerSendsAsync(Probe.PassWait) && await talk.ClientSendsAsync(Probe.PassWait));
        Assert.False(await cut.ServerSendsAsync());
        Assert.False(await cut.ClientSendsAsync());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_metadata_server_on_the_host_is_open_and_the_host_beside_it_is_not(bool v4)
    {
        await lab.ServeAsync();
        await lab.ApplyAsync(Closed(
            v4 ? "out 1 accept all -1/-1 192.0.2.0/24" : "out 1 accept all -1/-1 2001:db8:5::/48"));
        IPAddress server = IPAddress.Parse(v4 ? HostLab.HostMetadataV4 : HostLab.HostMetadataV6);
        IPAddress beside = IPAddress.Parse(v4 ? HostLab.V4 : HostLab.V6);
        await lab.PassToHostAsync(lab.E1, HostLab.Openers(Own(v4), server, 80));
        await lab.DropToHostAsync(lab.E1, "tap-e1 from_host", HostLab.Openers(Own(v4), beside, 80));
        using TcpStream stream = await ConnectAsync(server, 80);

        // Judged again, by what the host says first.
        (Accepted answer, _) = await lab.ApplyAsync(Closed());
        Assert.True(answer.Changes.SessionsRevalidated);
        Assert.True(await stream.ServerSendsAsync(Probe.PassWait) && await stream.ClientSendsAsync(Probe.PassWait));
        lab.Forget();
        await lab.DropFromHostAsync(lab.E1, "tap-e1 to_default", HostLab.Openers(server, Own(v4), 5000));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_resolver_on_the_host_is_a_service_like_any_other(bool v4)
    {
        string any = v4 ? "out 1 accept all -1/-1 0.0.0.0/0" : "out 1 accept all -1/-1 ::/0";
        IPAddress host = IPAddress.Parse(v4 ? HostLab.V4 : HostLab.V6);
        Shot[] questions = [.. HostLab.Openers(Own(v4), host, 53).Take(2)];
        await lab.ServeAsync();
        await lab.ApplyAsync(Closed(any));
        await lab.DropToHostAsync(lab.E1, "tap-e1 from_host", questions);

        await lab.ServeAsync("udp/53", "tcp/53");
        Assert.True(await Probe.UdpExchangesAsync(
            lab.E1, Own(v4), lab.Self, new IPEndPoint(host, 53), Probe.PassWait));
        using (await ConnectAsync(host, 53))
        {
        }

        // It is open, but not exempt.
        await lab.ApplyAsync(Closed());
        lab.Forget();
        await lab.DropToHostAsync(lab.E1, "tap-e1 from_default", questions);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_resolver_elsewhere_is_subject_to_egress_rules_and_its_answer_is_a_reply(bool v4)
    {
        await lab.ApplyAsync(Closed());
        lab.Forget();
        IPAddress resolver = IPAddress.Parse(v4 ? ResolverV4 : ResolverV6);
        await lab.Volley.DropAsync(
            lab.E1, lab.Outsider, "tap-e1 from_default", [.. HostLab.Openers(Own(v4), resolver, 53).Take(2)]);
        await lab.Volley.DropAsync(lab.Outsider, lab.E1, "tap-e1 to_default",
            new Shot("answer to nothing", Packets.Udp(resolver, Own(v4), 53, 5000, Probe.Payload())));
        string prefix = AddressPlan.Host(resolver.ToString());
        await lab.ApplyAsync(Closed($"out 1 accept udp 53/53 {prefix}", $"out 1 accept tcp 53/53 {prefix}"));
        Assert.True(await Probe.UdpExchangesAsync(
            lab.E1, Own(v4), lab.Outsider, new IPEndPoint(resolver, 53), Probe.PassWait));
        Assert.True(await Probe.TcpConnectsAsync(
            new TcpRoute(lab.E1, new IPEndPoint(resolver, 53), lab.Outsider), Probe.PassWait));
    }

    private async Task<TcpStream> ConnectAsync(IPAddress host, int port)
    {
        TcpStream? stream = await Probe.ConnectAsync(
            new TcpRoute(lab.E1, new IPEndPoint(host, port), lab.Self), Probe.PassWait);
        Assert.NotNull(stream);
        return stream;
    }

    private IPAddress Own(bool v4) => v4 ? lab.E1.V4 : lab.E1.V6;
}
