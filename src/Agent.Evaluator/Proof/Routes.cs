using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>The ways that packets of a vNIC can take, each for other ends that nothing tells apart.</summary>
internal sealed class Routes
{
    private readonly PolicySnapshot policy;
    private readonly PolicySettings settings;
    private readonly ProofFacts facts;
    private readonly string unmanaged;
    private readonly string[] unknownManaged;
    private readonly ushort otherZone;

    public Routes(PolicySnapshot policy, PolicySettings settings, ProofFacts facts, Ruleset ruleset)
    {
        this.policy = policy;
        this.settings = settings;
        this.facts = facts;
        HashSet<string> taken = [.. policy.Vnics.Values.Select(vnic => vnic.InterfaceName),
            .. policy.Vpcs.Values.SelectMany(vpc => vpc.UplinkInterfaces), .. NamesIn(ruleset)];
        unmanaged = Fresh("up", taken);
        unknownManaged = [.. facts.ManagedInterfaces.Select(pattern =>
            pattern.EndsWith('*') ? Fresh(pattern[..^1], taken) : pattern).Where(name => !taken.Contains(name)
                || !policy.Vnics.Values.Any(vnic => vnic.InterfaceName == name))];
        otherZone = ushort.MaxValue;
        while (otherZone == 0 || facts.Zones.ContainsValue(otherZone))
        {
            otherZone--;
        }
    }

    /// <summary>Devices that are no vNIC's and no uplink, which routes go through.</summary>
    public ImmutableArray<string> Devices => [unmanaged, .. unknownManaged];

    /// <summary>A device that nothing names.</summary>
    public string Unmanaged => unmanaged;

    public ushort ZoneOf(Vnic vnic) => facts.Zones.GetValueOrDefault(vnic.VpcId);

    /// <summary>Zones of the uplinks, and of what is not ours.</summary>
    public IEnumerable<(string Device, ushort Zone)> Zones() => policy.Vpcs.Values
        .SelectMany(vpc => vpc.UplinkInterfaces, (vpc, device) => (device, facts.Zones.GetValueOrDefault(vpc.Id)))
        .Append((unmanaged, (ushort)0));

    /// <summary>Everything but traffic with other vNICs of this host.</summary>
    public IEnumerable<Route> Of(Vnic vnic)
    {
        foreach (Route route in From(vnic).Concat(To(vnic)))
        {
            yield return route with { Zone = ZoneOf(vnic) };
        }

        foreach (ushort zone in policy.Vpcs.IsEmpty ? [] : OtherZones(ZoneOf(vnic)))
        {
            foreach (Route route in To(vnic).Where(route => route.TrustedMark is null))
            {
                yield return route with
                {
                    Name = $"{route.Name} in another zone",
                    Zone = zone,
                    IsOfAnotherZone = true,
                };
            }
        }
    }

    /// <summary>Traffic of no vNIC.</summary>
    public IEnumerable<Route> OfNobody()
    {
        string other = unmanaged + "2";
        yield return Forward(unmanaged, other);
        yield return Forward(unmanaged, other) with { Hook = NftHook.Input, Out = Interfaces.None };
        yield return Forward(unmanaged, other) with { Hook = NftHook.Output, In = Interfaces.None };
        foreach (string name in unknownManaged)
        {
            yield return Forward(name, other) with { FromClosed = true };
            yield return Forward(other, name) with { Beyond = Beyond.Closed };
            yield return Forward(name, other) with
            { Hook = NftHook.Input, Out = Interfaces.None, FromClosed = true };
            yield return Forward(other, name) with
            { Hook = NftHook.Output, In = Interfaces.None, Beyond = Beyond.Closed };
        }
    }

    private static Route Forward(string from, string to) =>
        new($"{from} -> {to}", NftHook.Forward, Interfaces.Of(from), Interfaces.Of(to));

    private IEnumerable<Route> From(Vnic vnic)
    {
        string name = vnic.InterfaceName;
        yield return Forward(name, unmanaged) with { Sender = vnic };
        yield return new Route($"{name} -> host", NftHook.Input, Interfaces.Of(name), Interfaces.None)
        {
            Sender = vnic,
            Beyond = Beyond.Host,
        };
        foreach (Vpc vpc in policy.Vpcs.Values.Where(vpc => !vpc.UplinkInterfaces.IsEmpty))
        {
            yield return new Route($"{name} -> uplink of {vpc.Id}", NftHook.Forward, Interfaces.Of(name),
                Interfaces.OneOf(vpc.UplinkInterfaces))
            {
                Sender = vnic,
                Beyond = vpc.Id == vnic.VpcId ? Beyond.Elsewhere : Beyond.Closed,
            };
        }

        foreach (string closed in unknownManaged)
        {
            yield return Forward(name, closed) with { Sender = vnic, Beyond = Beyond.Closed };
        }
    }

    private IEnumerable<Route> To(Vnic vnic)
    {
        string name = vnic.InterfaceName;
        Route forward = new($"{unmanaged} -> {name}", NftHook.Forward,
            Interfaces.OneOf([unmanaged, .. policy.Vpcs.Values.SelectMany(vpc => vpc.UplinkInterfaces)]),
            Interfaces.Of(name))
        {
            Receiver = vnic,
        };
        Route output = new($"host -> {name}", NftHook.Output, Interfaces.None, Interfaces.Of(name))
        {
            Receiver = vnic,
        };
        yield return forward;
        yield return output;
        foreach (uint mark in settings.TrustedMarks)
        {
            yield return forward with { Name = $"{forward.Name} with mark {mark:x}", TrustedMark = mark };
            yield return output with { Name = $"{output.Name} with mark {mark:x}", TrustedMark = mark };
        }

        foreach (string closed in unknownManaged)
        {
            yield return Forward(closed, name) with { FromClosed = true, Receiver = vnic };
        }
    }

    /// <summary>Zones of other listed VPCs, the one that all others share, and one that nobody has.</summary>
    private IEnumerable<ushort> OtherZones(ushort own) =>
        facts.Zones.Values.Append((ushort)0).Append(otherZone).Distinct().Where(zone => zone != own);

    private static string Fresh(string prefix, HashSet<string> taken)
    {
        int number = 0;
        while (taken.Any(name => name.StartsWith($"{prefix}{number}", StringComparison.Ordinal)))
        {
            number++;
        }

        return $"{prefix}{number}";
    }

    private static IEnumerable<string> NamesIn(Ruleset ruleset) => ruleset.Tables
        .SelectMany(table => table.Sets)
        .Where(set => set.Key is [NftType.IfName] && !set.Interval)
        .SelectMany(set => Enumerable.Range(0, set.Elements.Count)
            .Select(row => NftElements.GetName(set.Elements[row][..NftElements.InterfaceBytes])));
}
