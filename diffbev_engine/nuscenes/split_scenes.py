"""The published scene lists of nuScenes, as scene numbers in short ranges ("4-6" is 4, 5, 6).

Official lists: nuScenes (Caesar et al., CVPR 2020).  PON lists: Roddick and Cipolla,
CVPR 2020, made because the same stretch of road occurs in official train and val.
"""


def scene_names(ranges: str) -> frozenset[str]:
    """Names such as ``scene-0004`` from ranges such as ``"1-3 7"``."""
    names = []
    for part in ranges.split():
        first, _, last = part.partition("-")
        names += [f"scene-{number:04d}" for number in range(int(first), int(last or first) + 1)]
    return frozenset(names)


OFFICIAL_TRAIN = scene_names("""
    1-2 4-11 19-34 41-76 120-135 138-139 149-152 154-155 157-168 170-185 187-188 190-196 199-200
    202-204 206-214 218-220 222 224-264 283-306 315-318 321 323-324 328 347-386 388-403 405-408
    410-459 461-465 467-469 471-472 474-480 499-502 504-515 517-518 525-539 541-546 566 568 570-578
    580 582-600 639-679 681 683-689 695-698 700-701 703-719 726-728 730-731 733-741 744 746-747
    749-752 757-765 767-769 786-787 789-792 803-806 808-813 815-817 819-822 847-856 858 860-866
    868-873 875-878 880 882-903 945 947 949 952-953 955-961 975-984 988-992 994-1025 1044-1058
    1074-1102 1104-1110
""")
OFFICIAL_VAL = scene_names("""
    3 12-18 35-36 38-39 92-110 221 268-278 329-332 344-346 519-524 552-565 625-627 629-630 632-638
    770-771 775 777-778 780-784 794-800 802 904-917 919-931 962-963 966-969 971-972 1059-1073
""")
OFFICIAL_SCENES = tuple(sorted(OFFICIAL_TRAIN | OFFICIAL_VAL))
"""The 850 scenes of v1.0-trainval; its ten archives hold 85 each, in this order."""
OFFICIAL_MINI_TRAIN = scene_names("61 553 655 757 796 1077 1094 1100")
OFFICIAL_MINI_VAL = scene_names("103 916")

PON_VAL = scene_names("""
    1 10-11 20 38 41 53-54 121-122 139 152 160 184 269 347-348 366 368-369 378 389-398 411-419
    525-539 541-546 556-558 566 568 570-578 580 582-583 642-651 739-741 744 746-747 749-752 757-765
    767-771 775 777-778 794-800 803-804 911-915 919-920 924 962-963 1002-1003 1016-1018 1055-1063
""")
PON_NEITHER = scene_names("410 641 805 910")
PON_TRAIN = (OFFICIAL_TRAIN | OFFICIAL_VAL) - PON_VAL - PON_NEITHER
