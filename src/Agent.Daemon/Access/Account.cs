using System.Globalization;
using Agent.Netlink;

namespace Agent.Daemon.Access;

/// <summary>A user of this host, or everybody in a group.</summary>
internal readonly record struct Account(bool IsGroup, uint Id)
{
    /// <summary>A user's name or number; a group's behind '@'. A name that only a directory service knows is unknown.
    /// </summary>
    public static Account? Parse(string text)
    {
        bool isGroup = text.StartsWith('@');
        string name = isGroup ? text[1..] : text;
        uint? id = uint.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out uint number) ? number
            : isGroup ? HostAccounts.GroupId(name) : HostAccounts.UserId(name);
        return id is uint known ? new Account(isGroup, known) : null;
    }

    public bool Covers(PeerCredentials peer) => IsGroup ? peer.GroupIds.Contains(Id) : peer.UserId == Id;
}
