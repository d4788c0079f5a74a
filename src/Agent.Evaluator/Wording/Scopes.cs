using System.Diagnostics;
using Agent.Evaluator.Forms;

namespace Agent.Evaluator.Wording;

/// <summary>Sets of packets as messages.</summary>
internal static class Scopes
{
    /// <summary>A scope with more terms than that says how many more.</summary>
    private const int TermsMax = 1000;

    public static V1.AddressScope Message(AddressScope scope)
    {
        int listed = Math.Min(scope.Include.Length, TermsMax) + Math.Min(scope.Exclude.Length, TermsMax);
        var message = new V1.AddressScope
        {
            Family = scope.Family == Policy.IpFamily.V4 ? V1.IpFamily.Ipv4 : V1.IpFamily.Ipv6,
            Text = scope.ToString(),
            MoreTerms = (uint)(scope.Include.Length + scope.Exclude.Length - listed),
        };
        message.Include.AddRange(scope.Include.Take(TermsMax).Select(Message));
        message.Exclude.AddRange(scope.Exclude.Take(TermsMax).Select(Message));
        return message;
    }

    public static V1.Services Message(ServiceSet services)
    {
        var message = new V1.Services { AllBut = services.AllBut, Text = services.ToString() };
        message.Boxes.AddRange(services.Boxes.Select(Message));
        return message;
    }

    private static V1.ServiceBox Message(PacketBox box) => new()
    {
        FirstProtocol = box.Protocol.First,
        LastProtocol = box.Protocol.Last,
        FirstPort = box.Destination.First,
        LastPort = box.Destination.Last,
        FirstSourcePort = box.Source.First,
        LastSourcePort = box.Source.Last,
    };

    private static V1.AddressTerm Message(AddressTerm term)
    {
        V1.AddressTerm message = term.Kind switch
        {
            AddressTermKind.Prefix => new V1.AddressTerm { Cidr = term.Name },
            AddressTermKind.Group => new V1.AddressTerm { GroupId = term.Name },
            AddressTermKind.List => new V1.AddressTerm { PrefixListId = term.Name },
            _ => throw new UnreachableException(),
        };
        message.Side = term.Side switch
        {
            AddressTermSide.Before => V1.AddressTerm.Types.Side.Before,
            AddressTermSide.After => V1.AddressTerm.Types.Side.After,
            _ => V1.AddressTerm.Types.Side.Unspecified,
        };
        return message;
    }
}
