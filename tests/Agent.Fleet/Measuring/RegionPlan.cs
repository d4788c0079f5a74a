using System.Globalization;
using Agent.Fleet.Control;
using Agent.Fleet.Store;
using Agent.V1;
using Google.Protobuf;

namespace Agent.Fleet.Measuring;

/// <summary>What the measured region is like.</summary>
/// <remarks>
/// A group of everybody, and 50 tenants' groups of 100 listed members each, which let the group of everybody in. Each
/// host has two vNICs: one in the group of everybody and a tenant's, one in another tenant's.
/// </remarks>
internal static class RegionPlan
{
    public const string Everybody = "sg-all";

    private const int Tenants = 50;
    private const int MembersPerTenant = 100;
    private const string Vpc = "vpc-1";

    public static IEnumerable<Write> Groups()
    {
        yield return Put(Keys.Group(Everybody), GroupOf(Everybody, new Rule
        {
            Id = "web",
            Direction = Direction.Ingress,
            Protocol = "tcp",
            PortRange = "80/80",
            Cidr = "0.0.0.0/0",
        }));
        for (int tenant = 0; tenant < Tenants; tenant++)
        {
            yield return Put(Keys.Group(Tenant(tenant)), GroupOf(Tenant(tenant), new Rule
            {
                Id = "db",
                Direction = Direction.Ingress,
                Protocol = "tcp",
                PortRange = "5432/5432",
                GroupId = Everybody,
            }));
            for (int member = 0; member < MembersPerTenant; member++)
            {
                yield return Member(Tenant(tenant), $"10.128.{tenant}.{member}", isIn: true);
            }
        }
    }

    public static IEnumerable<Write> Host(int number, string socket)
    {
        string name = string.Create(CultureInfo.InvariantCulture, $"host-{number:0000}");
        yield return Nic(name, 2 * number, Everybody, Tenant(number % Tenants));
        yield return Nic(name, (2 * number) + 1, Tenant(((7 * number) + 3) % Tenants));
        yield return new Write(Keys.Host(name), ByteString.CopyFromUtf8(socket));
    }

    /// <summary>A change that concerns every host.</summary>
    public static Write ForEverybody(int number) =>
        Member(Everybody, $"10.200.{number >> 8}.{number & 255}", isIn: true);

    /// <summary>A member of a tenant's group comes or goes: some two in fifty hosts have it.</summary>
    public static Write Churn(Random random) => Member(
        Tenant(random.Next(Tenants)), $"10.201.0.{random.Next(1, 255)}", random.Next(2) == 0);

    private static string Tenant(int number) => string.Create(CultureInfo.InvariantCulture, $"sg-{number:00}");

    private static Write Member(string group, string address, bool isIn) =>
        new(Keys.Member(group, address), isIn ? ByteString.Empty : null);

    private static Write Put(string key, IMessage message) => new(key, message.ToByteString());

    private static SecurityGroup GroupOf(string id, Rule rule) => new()
    {
        Id = id,
        VpcId = Vpc,
        Type = GroupType.Basic,
        Rules = { rule },
    };

    private static Write Nic(string host, int number, params string[] groups)
    {
        string id = string.Create(CultureInfo.InvariantCulture, $"eni-{number}");
        return Put(Keys.Vnic(host, id), new Vnic
        {
            Id = id,
            InterfaceName = string.Create(CultureInfo.InvariantCulture, $"tap{number}"),
            Mac = string.Create(CultureInfo.InvariantCulture, $"02:00:00:00:{number >> 8:x2}:{number & 255:x2}"),
            VpcId = Vpc,
            Addresses = { string.Create(CultureInfo.InvariantCulture, $"10.0.{number >> 8}.{number & 255}") },
            GroupIds = { groups },
        });
    }
}
