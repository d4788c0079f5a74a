using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Agent.Daemon.Access;
using Agent.Daemon.Config;
using Agent.Netlink;

namespace Agent.Tests.Access;

/// <summary>Who a client is.</summary>
public sealed class CertificateNameTests
{
    [Theory]
    [InlineData("ctl.example", "ctl.example", true)]
    [InlineData("CTL.example", "ctl.Example", true)]
    [InlineData("ctl.example", "ctl.example.", false)]
    [InlineData("ctl.example", "a.ctl.example", false)]
    [InlineData("*.example", "ctl.example", true)]
    [InlineData("*.example", "a.ctl.example", false)]
    [InlineData("*.example", "example", false)]
    [InlineData("*.example", ".example", false)]
    [InlineData("ctl.example", "*.example", false)]
    public void Hosts_are_compared_whole_but_for_one_label(string allowed, string shown, bool covered) =>
        Assert.Equal(covered, CertificateName.Parse(allowed)!.Value.Covers(new CertificateName(NameKind.Dns, shown)));

    [Theory]
    [InlineData("spiffe://td/ctl", NameKind.Uri)]
    [InlineData("root@example", NameKind.Email)]
    [InlineData("192.0.2.1", NameKind.Ip)]
    [InlineData("2001:db8::1", NameKind.Ip)]
    [InlineData("ctl", NameKind.Dns)]
    public void The_kinds_never_mix(string allowed, object kind)
    {
        CertificateName name = CertificateName.Parse(allowed)!.Value;
        Assert.All(Enum.GetValues<NameKind>(), other =>
            Assert.Equal(other == (NameKind)kind, name.Covers(new CertificateName(other, allowed))));
    }

    [Theory]
    [InlineData("")]
    [InlineData("*")]
    [InlineData("*.")]
    [InlineData("a*.example")]
    [InlineData("*a.example")]
    [InlineData("*.*.example")]
    [InlineData("**.example")]
    [InlineData("a b")]
    [InlineData("ä.example")]
    public void What_is_no_name_is_none(string text) => Assert.Null(CertificateName.Parse(text));

    [Fact]
    public void Every_alternative_name_is_read_and_the_common_name_is_not()
    {
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("ctl.example");
        names.AddUri(new Uri("spiffe://td/ctl"));
        names.AddEmailAddress("root@example");
        names.AddIpAddress(IPAddress.Parse("192.0.2.1"));
        names.AddIpAddress(IPAddress.Parse("2001:db8::1"));
        names.AddUserPrincipalName("somebody@else");
        using X509Certificate2 certificate = Made(names.Build());
        Assert.Equal(
            ["ctl.example", "spiffe://td/ctl", "root@example", "192.0.2.1", "2001:db8::1"],
            CertificateName.Of(certificate).Select(name => name.ToString()));
        using X509Certificate2 nameless = Made(null);
        Assert.Empty(CertificateName.Of(nameless));
    }

    [Fact]
    public void An_extension_that_is_garbage_names_nobody()
    {
        var random = new Random(3);
        for (int i = 0; i < 100; i++)
        {
            var bytes = new byte[random.Next(40)];
            random.NextBytes(bytes);
            using X509Certificate2 certificate = Made(new X509Extension("2.5.29.17", bytes, critical: false));
            CertificateName.Of(certificate);
        }

        byte[] cut = [0x30, 0x06, 0x82, 0x05, (byte)'a', (byte)'b']; // a host of 5 bytes, of which 2 are there
        using X509Certificate2 faulty = Made(new X509Extension("2.5.29.17", cut, critical: false));
        Assert.Empty(CertificateName.Of(faulty));
    }

    [Fact]
    public void What_a_stranger_wrote_is_shown_without_its_control_characters() =>
        Assert.Equal("a?b", new CertificateName(NameKind.Dns, "a\nb").ToString());

    [Fact]
    public void The_better_role_counts_and_who_is_in_no_list_has_none()
    {
        var callers = new Callers(new GrpcConfig
        {
            Tls = new TlsConfig("", "", "")
            {
                Controllers = [new CertificateName(NameKind.Uri, "spiffe://td/ctl")],
                Observers = [new CertificateName(NameKind.Dns, "*.example")],
            },
        });
        Assert.Equal((Role.Controller, "spiffe://td/ctl"), Of("a.example", "spiffe://td/ctl"));
        Assert.Equal((Role.Observer, "a.example"), Of("a.example", "spiffe://td/other"));
        Assert.Equal((Role.None, "a.other"), Of("a.other", null));
        Assert.False(callers.Of((X509Certificate2?)null).IsKnown);

        (Role, string) Of(string host, string? uri)
        {
            var names = new SubjectAlternativeNameBuilder();
            names.AddDnsName(host);
            if (uri is not null)
            {
                names.AddUri(new Uri(uri));
            }

            using X509Certificate2 certificate = Made(names.Build());
            Caller caller = callers.Of(certificate);
            return (caller.Role, caller.Name);
        }
    }

    [Fact]
    public void Without_lists_whoever_comes_in_controls()
    {
        var callers = new Callers(new GrpcConfig { Tls = new TlsConfig("", "", "") });
        using X509Certificate2 nameless = Made(null);
        Assert.Equal(Role.Controller, callers.Of(nameless).Role);
        Assert.False(callers.Of((X509Certificate2?)null).IsKnown);
        Assert.Equal(Role.Controller, callers.Of(new PeerCredentials(1, 1000, [1000])).Role);
    }

    [Fact]
    public void Users_and_groups_have_the_roles_of_their_lists_and_root_has_every()
    {
        var callers = new Callers(new GrpcConfig
        {
            SocketControllers = [new Account(IsGroup: false, 7)],
            SocketObservers = [new Account(IsGroup: true, 20)],
        });
        Assert.Equal(Role.Controller, callers.Of(new PeerCredentials(1, 0, [0])).Role);
        Assert.Equal(Role.Controller, callers.Of(new PeerCredentials(1, 7, [20])).Role);
        Assert.Equal(Role.Observer, callers.Of(new PeerCredentials(1, 8, [8, 20])).Role);
        Assert.Equal(Role.None, callers.Of(new PeerCredentials(1, 20, [7])).Role);
    }

    private static X509Certificate2 Made(X509Extension? names)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=ctl.example", key, HashAlgorithmName.SHA256);
        if (names is not null)
        {
            request.CertificateExtensions.Add(names);
        }

        return request.CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(100));
    }
}
