namespace Agent.Contract;

/// <summary>Fault codes: Alibaba Cloud's where it has one (semantics.md 3.5), ours for the rest.</summary>
internal static class Codes
{
    public const string Protocol = "InvalidIpProtocol.ValueNotSupported";
    public const string PortRange = "InvalidPortRange.Malformed";
    public const string SourcePortRange = "InvalidSourcePortRange.Malformed";
    public const string PortMismatch = "InvalidParam.ProtocolAndPortRangeMismatch";
    public const string PortListProtocol = "InvalidParam.ProtocolNotSupportPortRangeList";
    public const string PortListNotFound = "InvalidPortRangeListId.NotFound";
    public const string SourceCidr = "InvalidSourceCidrIp.Malformed";
    public const string DestCidr = "InvalidDestCidrIp.Malformed";
    public const string SourceCidrV6 = "InvalidParam.Ipv6SourceCidrIp";
    public const string DestCidrV6 = "InvalidParam.Ipv6DestCidrIp";
    public const string ProtocolFamily = "InvalidParam.ProtocolAndAddressFamilyMismatch";
    public const string ListFamily = "InvalidParam.PrefixListAddressFamilyMismatch";
    public const string SameCidr = "InvalidParameter.Conflict";
    public const string Policy = "InvalidPolicy.Malformed";
    public const string Priority = "InvalidPriority.ValueNotSupported";
    public const string Description = "InvalidSecurityGroupDiscription.Malformed";
    public const string MissingSource = "MissingParameter.Source";
    public const string MissingDest = "MissingParameter.Dest";
    public const string GroupRuleLimit = "AuthorizedGroupRule.LimitExceed";
    public const string AdvancedReference = "InvalidGroupAuthParameter.OperationDenied";
    public const string SelfIngress = "InvalidParamter.Conflict";
    public const string SelfEgress = "InvalidSecurityGroup.IsSame";
    public const string SourceMismatch = "InvalidSourceGroupId.Mismatch";
    public const string DestMismatch = "InvalidDestGroupId.Mismatch";
    public const string SourceNotFound = "InvalidSourceGroupId.NotFound";
    public const string DestNotFound = "InvalidDestGroupId.NotFound";
    public const string PrefixListNotFound = "InvalidPrefixListId.NotFound";
    public const string GroupNotFound = "InvalidSecurityGroupId.NotFound";
    public const string GroupId = "InvalidSecurityGroupId.Malformed";
    public const string InnerAccess = "InvalidParameter.InnerAccessPolicy";
    public const string MultiGroupType = "InvalidOperation.MultiGroupType";
    public const string VpcMismatch = "InvalidOperation.VpcMismatch";
    public const string GroupsPerVnic = "InstanceSecurityGroupLimitExceeded";
    public const string RulesPerVnic = "AclLimitExceed";
    public const string MembersPerGroup = "SecurityGroupInstanceLimitExceeded";

    public const string Id = "InvalidId";
    public const string Duplicate = "Duplicate";
    public const string Text = "InvalidText";
    public const string Address = "InvalidAddress";
    public const string Enumeration = "InvalidEnumValue";
    public const string Interface = "InvalidInterfaceName";
    public const string Mac = "InvalidMac";
    public const string Timeout = "InvalidTimeout";
    public const string Time = "InvalidTime";
    public const string Limit = "LimitExceeded";
    public const string AddressOverlap = "VpcAddressOverlap";
    public const string Entry = "InvalidEntry";
    public const string StaleBase = "StaleBaseRevision";
    public const string Revision = "InvalidRevision";
    public const string Incomplete = "IncompleteSnapshot";
    public const string Order = "UnexpectedMessage";
    public const string TooMany = "TooManyFaults";
}
