using Agent.Policy;

namespace Agent.Compiler;

/// <summary>What the packet mark means while a packet is judged. It is scratch space, and 0 again afterwards.</summary>
/// <remarks>
/// <code>
/// 31 30 29 28 27 .......... 0
///  1  f  .  .  address class       found by address; f is the family (1: IPv6); 0 is "in no class"
///  0  0  0  0  policy class        what one policy makes of the address class; 1 and 2: any other v4, v6 address
///  0  0  0  1  rule number         decided: accept
///  0  0  1  0  rule number         decided: drop
/// </code>
/// A rule number is unique within one policy direction; 0 is the type's default.
/// </remarks>
internal static class Decision
{
    /// <summary>
    /// Outside of a judgement: the sender was judged where the packet came from, at a bridge or before one. The lower
    /// bits say of which VPC it is. This one mark lives from hook to hook.
    /// </summary>
    public const uint Passed = 0x4000_0000;

    /// <summary>Outside of a judgement: a DHCP answer of this host itself on its way to a bridge.</summary>
    public const uint HostAnswer = 0x2000_0067;

    /// <summary>Outside of a judgement: an answer of this host that none of its services gives any more.</summary>
    public const uint HostUnserved = 0x2000_0068;

    public const uint AddressClass = 0x8000_0000;
    public const uint AddressClassV6 = 0x4000_0000;
    public const uint ClassBits = 0x3fff_ffff;
    public const uint AcceptBit = 0x1000_0000;
    public const uint DropBit = 0x2000_0000;
    public const uint NumberLimit = 0x1000_0000;

    /// <summary>Policy class of an IPv4 address that is in no class the policy knows.</summary>
    public const uint RestV4 = 1;

    /// <summary>Policy class of an IPv6 address that is in no class the policy knows.</summary>
    public const uint RestV6 = 2;

    /// <summary>First number for a named policy class, and for a rule.</summary>
    public const uint FirstNumber = 16;

    public static uint Of(Verdict verdict, uint number) => (verdict == Verdict.Accept ? AcceptBit : DropBit) | number;

    /// <param name="vpc">The VPC's part of names.</param>
    public static uint PassedFrom(string vpc) => Passed | (uint)(StableHash.Of(vpc) & 0x0fff_ffff);

    public static bool Accepts(uint decision) => (decision & AcceptBit) != 0;

    public static bool IsDecided(uint mark) => (mark & AddressClass) == 0 && (mark & (AcceptBit | DropBit)) != 0;

    public static uint Unclassified(IpFamily family) =>
        family == IpFamily.V4 ? AddressClass : AddressClass | AddressClassV6;

    public static uint Rest(IpFamily family) => family == IpFamily.V4 ? RestV4 : RestV6;
}
