namespace Agent.Fleet.Control;

/// <summary>Where a region's desired state is in etcd.</summary>
/// <remarks>
/// <code>
/// /sg/groups/ID             a SecurityGroup without members
/// /sg/members/ID/ADDRESS    nothing: the key says it
/// /sg/vnics/HOST/ID         a Vnic
/// /sg/hosts/HOST            the path of its agent's socket
/// /leader                   who writes to agents; its create revision is the term
/// </code>
/// One change of a member is one small key, whatever the size of its group; members are written after their group and
/// removed with it. Values are messages of the agents' contract.
/// </remarks>
internal static class Keys
{
    public const string Root = "/sg/";
    public const string Leader = "/leader";

    private const string Groups = Root + "groups/";
    private const string Members = Root + "members/";
    private const string Vnics = Root + "vnics/";
    private const string Hosts = Root + "hosts/";

    public static string Group(string id) => Groups + id;

    public static string Member(string group, string address) => $"{Members}{group}/{address}";

    public static string Vnic(string host, string id) => $"{Vnics}{host}/{id}";

    public static string Host(string name) => Hosts + name;

    /// <summary>
    /// "groups", "members", "vnics" or "hosts"; the id in it; and what comes behind, which may hold a slash.
    /// </summary>
    public static (string Kind, string Id, string Tail) Parse(string key)
    {
        string[] parts = key[Root.Length..].Split('/', 3);
        return (parts[0], parts.Length > 1 ? parts[1] : "", parts.Length > 2 ? parts[2] : "");
    }
}
